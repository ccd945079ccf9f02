/* User-mode Linux keeps the FPU state of its processes in a buffer of a size that it was built for. A host whose CPU has more state
 * (AVX-512, AMX) makes PTRACE_SETREGSET fail with that buffer, and user-mode Linux dies at its first context switch. Preloaded, this
 * takes the host's whole state on reads, hands on what fits, and on writes fills up to the host's size, with the components that did
 * not fit marked as "in their initial state". */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GETREGSET = 0x4204, SETREGSET = 0x4205, NT_X86_XSTATE = 0x202, PEEK_FIRST = 1, PEEK_LAST = 3 };

static char state[1 << 16] __attribute__((aligned(64)));
static size_t host_size;

static long get_state(pid_t pid)
{
	struct iovec whole = { state, sizeof state };
	long result = syscall(SYS_ptrace, (long)GETREGSET, pid, (void *)NT_X86_XSTATE, &whole);
	if (result >= 0)
		host_size = whole.iov_len;
	return result;
}

/* XSTATE_BV bits (Intel SDM volume 1, 13.4) of the components that end within `size` bytes of the standard format. */
static unsigned long long components(size_t size)
{
	static const struct { size_t end; unsigned long long bit; } known[] = {
		{ 832, 1 << 2 }, { 1152, 1 << 5 }, { 1664, 1 << 6 }, { 2688, 1 << 7 }, { 2696, 1 << 9 },
	};
	unsigned long long bits = 3; /* x87 and SSE are in the legacy area. */
	for (size_t index = 0; index < sizeof known / sizeof *known; index++)
		if (size >= known[index].end)
			bits |= known[index].bit;
	return bits;
}

static long xstate(int request, pid_t pid, struct iovec *theirs)
{
	if (request == GETREGSET || !host_size) {
		long result = get_state(pid);
		if (result < 0)
			return result;
	}
	size_t fits = theirs->iov_len < host_size ? theirs->iov_len : host_size;
	if (request == GETREGSET) {
		memcpy(theirs->iov_base, state, fits);
		theirs->iov_len = fits;
		return 0;
	}
	memset(state, 0, host_size);
	memcpy(state, theirs->iov_base, fits);
	unsigned long long present;
	memcpy(&present, state + 512, sizeof present);
	present &= components(fits);
	memcpy(state + 512, &present, sizeof present);
	struct iovec whole = { state, host_size };
	return syscall(SYS_ptrace, (long)SETREGSET, pid, (void *)NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	va_start(rest, request);
	pid_t pid = va_arg(rest, pid_t);
	void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
	va_end(rest);
	int number = (int)request;
	if ((number == GETREGSET || number == SETREGSET) && (long)address == NT_X86_XSTATE)
		return xstate(number, pid, data);
	if (number >= PEEK_FIRST && number <= PEEK_LAST) { /* The C library returns the word itself. */
		long word, result = syscall(SYS_ptrace, (long)number, pid, address, &word);
		if (result >= 0)
			errno = 0;
		return result < 0 ? result : word;
	}
	return syscall(SYS_ptrace, (long)number, pid, address, data);
}

/* Linux's lib/raid6 as a peer, its SIMD files compiled in user space. xor.c needs the kernel and is left out. */
#include "peer.h"
#include <linux/raid/pq.h>
#include <stdlib.h>

struct raid6_calls raid6_call;
const char raid6_empty_zero_page[PAGE_SIZE] __attribute__((aligned(256)));
static const struct raid6_recov_calls *recovery;

int peer_start(const char *form, size_t len_max)
{
	/* The page of zeros that recovery reads is one page long. */
	(void)len_max;
	if (!strcmp(form, "avx2")) {
		raid6_call = raid6_avx2x4;
		recovery = &raid6_recov_avx2;
	} else {
		raid6_call = raid6_avx512x4;
		recovery = &raid6_recov_avx512;
	}
	return !raid6_call.valid() || !recovery->valid();
}

void peer_pq(int k, size_t len, void **v)
{
	raid6_call.gen_syndrome(k + 2, len, v);
}

/* Linux's blocks are pages: longer ones page by page, as its callers do. */
static void page_by_page(int k, size_t len, void **v, void (*each)(void **, int, int), int a, int b)
{
	void *page[256];
	for (size_t at = 0; at < len; at += PAGE_SIZE) {
		for (int i = 0; i < k + 2; i++)
			page[i] = (char *)v[i] + at;
		each(page, a, b);
	}
}

static int disks;

static void two(void **v, int a, int b)
{
	recovery->data2(disks, PAGE_SIZE, a, b, v);
}

static void data_p(void **v, int a, int b)
{
	(void)b;
	recovery->datap(disks, PAGE_SIZE, a, v);
}

void peer_two(int k, size_t len, int a, int b, void **v)
{
	disks = k + 2;
	page_by_page(k, len, v, two, a, b);
}

void peer_data_p(int k, size_t len, int a, void **v)
{
	disks = k + 2;
	page_by_page(k, len, v, data_p, a, 0);
}

void peer_update(int k, size_t len, int a, void *old, void *new, void *spare, void **v)
{
	void *columns[256];
	(void)spare;
	for (int i = 0; i < k + 2; i++)
		columns[i] = v[i];
	columns[a] = old;
	raid6_call.xor_syndrome(k + 2, a, a, len, columns);
	columns[a] = new;
	raid6_call.xor_syndrome(k + 2, a, a, len, columns);
}

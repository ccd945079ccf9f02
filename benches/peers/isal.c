/* Intel ISA-L as a peer: raid.h for generation, erasure_code.h for recovery and updates, crc.h.
 *
 * Tables of coefficients are made once for each case and kept, which is the best that a caller of ISA-L can do.
 */
#include "peer.h"
#include <crc.h>
#include <erasure_code.h>
#include <raid.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 256
#define TABLE 32

static int (*pq)(int, int, void **) = pq_gen;

#ifdef PEER_AVX2
extern int pq_gen_avx2(int vects, int len, void **array);
#endif

static unsigned char power(int n)
{
	unsigned char p = 1;
	while (n-- > 0)
		p = gf_mul(p, 2);
	return p;
}

int peer_start(const char *form, size_t len_max)
{
	(void)len_max;
#ifdef PEER_AVX2
	if (!strcmp(form, "avx2")) {
		pq = pq_gen_avx2;
		return 0;
	}
#endif
	return strcmp(form, "best") != 0;
}

void peer_pq(int k, size_t len, void **v)
{
	pq(k + 2, (int)len, v);
}

void peer_xor(int k, size_t len, void **v)
{
	xor_gen(k + 1, (int)len, v);
}

int peer_check(int k, size_t len, void **v)
{
	return pq_check(k + 2, (int)len, v);
}

/* Tables of two rows over `count` sources, made when the case changes. */
struct plan {
	int k, a, b;
	unsigned char tables[2 * COLUMNS * TABLE];
};

static void fill(struct plan *plan, int count, unsigned char *rows)
{
	ec_init_tables(count, 2, rows, plan->tables);
}

void peer_two(int k, size_t len, int a, int b, void **v)
{
	static struct plan plan;
	unsigned char *sources[COLUMNS], *out[2] = { v[a], v[b] };
	int count = 0;
	for (int i = 0; i < k + 2; i++)
		if (i != a && i != b)
			sources[count++] = v[i];
	if (plan.k != k || plan.a != a || plan.b != b) {
		unsigned char rows[2 * COLUMNS], c = gf_inv(power(a) ^ power(b));
		int at = 0;
		for (int i = 0; i < k; i++)
			if (i != a && i != b)
				rows[at++] = gf_mul(c, power(i) ^ power(b));
		rows[at++] = gf_mul(c, power(b));
		rows[at++] = c;
		/* The second is the first plus all that P says. */
		for (int i = 0; i < count; i++)
			rows[count + i] = rows[i] ^ (i < count - 1);
		fill(&plan, count, rows);
		plan.k = k, plan.a = a, plan.b = b;
	}
	ec_encode_data((int)len, count, 2, plan.tables, sources, out);
}

void peer_data_p(int k, size_t len, int a, void **v)
{
	static struct plan plan;
	unsigned char *sources[COLUMNS], *out[2] = { v[a], v[k] };
	int count = 0;
	for (int i = 0; i < k; i++)
		if (i != a)
			sources[count++] = v[i];
	sources[count++] = v[k + 1];
	if (plan.k != k || plan.a != a || plan.b != -1) {
		unsigned char rows[2 * COLUMNS], c = gf_inv(power(a));
		int at = 0;
		for (int i = 0; i < k; i++)
			if (i != a)
				rows[at++] = gf_mul(c, power(i));
		rows[at++] = c;
		for (int i = 0; i < count; i++)
			rows[count + i] = rows[i] ^ (i < count - 1);
		fill(&plan, count, rows);
		plan.k = k, plan.a = a, plan.b = -1;
	}
	ec_encode_data((int)len, count, 2, plan.tables, sources, out);
}

void peer_update(int k, size_t len, int a, void *old, void *new, void *spare, void **v)
{
	static struct plan plan;
	void *change[3] = { old, new, spare };
	unsigned char *out[2] = { v[k], v[k + 1] };
	if (plan.k != k) {
		unsigned char rows[2 * COLUMNS];
		for (int i = 0; i < k; i++)
			rows[i] = 1, rows[k + i] = power(i);
		fill(&plan, k, rows);
		plan.k = k;
	}
	xor_gen(3, (int)len, change);
	ec_encode_data_update((int)len, k, 2, a, plan.tables, spare, out);
}

uint32_t peer_crc32c(uint32_t seed, const void *bytes, size_t len)
{
	return crc32_iscsi((unsigned char *)bytes, (int)len, seed);
}

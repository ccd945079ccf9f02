/* SnapRAID's raid library as a peer. Its first two parities are our P and Q. */
#include "peer.h"
#include <raid.h>
#include <stdlib.h>
#include <string.h>

int peer_start(const char *form, size_t len_max)
{
	void *zero = aligned_alloc(4096, len_max);
	if (strcmp(form, "best") || !zero)
		return 1;
	memset(zero, 0, len_max);
	raid_init();
	raid_zero(zero);
	return 0;
}

void peer_pq(int k, size_t len, void **v)
{
	raid_gen(k, 2, len, v);
}

void peer_xor(int k, size_t len, void **v)
{
	raid_gen(k, 1, len, v);
}

void peer_two(int k, size_t len, int a, int b, void **v)
{
	int lost[2] = { a, b };
	raid_rec(2, lost, k, 2, len, v);
}

void peer_data_p(int k, size_t len, int a, void **v)
{
	int lost[2] = { a, k };
	raid_rec(2, lost, k, 2, len, v);
}

int peer_check(int k, size_t len, void **v)
{
	int none[1];
	return raid_check(0, none, k, 2, len, v);
}

/* No peer but a limit: the loads and stores of P+Q and one exclusive or a load. What multiplies cannot be much faster. */
#include "peer.h"
#include <immintrin.h>

int peer_start(const char *form, size_t len_max)
{
	(void)form, (void)len_max;
	return !__builtin_cpu_supports("avx512f");
}

__attribute__((target("avx512f"))) void peer_pq(int k, size_t len, void **v)
{
	char **column = (char **)v;
	for (size_t at = 0; at < len; at += 256) {
		__m512i sum[4] = { 0 };
		for (int i = 0; i < k; i++)
			for (int u = 0; u < 4; u++)
				sum[u] = _mm512_xor_si512(sum[u], _mm512_loadu_si512(column[i] + at + 64 * u));
		for (int u = 0; u < 4; u++) {
			_mm512_storeu_si512(column[k] + at + 64 * u, sum[u]);
			_mm512_storeu_si512(column[k + 1] + at + 64 * u, sum[u]);
		}
	}
}

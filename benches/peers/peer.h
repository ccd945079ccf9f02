/* What a peer offers to the benchmark of parity. One shim a peer defines these functions by calls of the peer.
 *
 * `v` holds pointers to `k` data blocks, then P, then Q, as all the peers have it; `len` bytes each. A function that a peer
 * does not have stays undefined, and the benchmark leaves that cell empty.
 */
#ifndef RAID_PEER_H
#define RAID_PEER_H
#include <stddef.h>
#include <stdint.h>

#define PEER __attribute__((visibility("default")))

/* Once, before anything else. `form` is the instruction set that is asked for, or "best"; 0 if the peer has it. */
PEER int peer_start(const char *form, size_t len_max);
/* P and Q of the data. */
PEER void peer_pq(int k, size_t len, void **v);
/* P of the data. */
PEER void peer_xor(int k, size_t len, void **v);
/* Blocks a < b of v become what they were, by P and Q. */
PEER void peer_two(int k, size_t len, int a, int b, void **v);
/* Blocks a and P of v become what they were, by Q. */
PEER void peer_data_p(int k, size_t len, int a, void **v);
/* P and Q follow a change of block a from old to new. `spare` is room for len bytes. */
PEER void peer_update(int k, size_t len, int a, void *old, void *new, void *spare, void **v);
/* 0 if P and Q are those of the data. */
PEER int peer_check(int k, size_t len, void **v);
/* CRC-32C, the register before and after, without complements. */
PEER uint32_t peer_crc32c(uint32_t seed, const void *bytes, size_t len);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The border between C and Rust. C owns what the kernel's C headers define; Rust holds pointers to it.
 * Functions that begin with raid_rs_ are Rust's, all others C's. src/shim.rs says the same in Rust.
 */
#ifndef RAID_SHIM_H
#define RAID_SHIM_H

#include <linux/device-mapper.h>
#include <linux/llist.h>
#include <linux/types.h>

struct raid_clerks;
struct raid_lane;
struct raid_lanes;
struct raid_io;

/* What Rust keeps of a request from above while it is under way. Mirrored in src/shim.rs. */
struct raid_request {
	struct raid_request *next;	/* in the queue of those that wait for entries */
	u64 at;				/* first sector of the array */
	u32 sectors;
	u32 cut;			/* sectors that have been handed to the engine */
	u32 pending;			/* pieces under way, and one while there are more to cut */
	u8 op;				/* RAID_READ ..; RAID_ZEROES may free what was there */
	bool fua;
	bool whole;			/* all of it is cut */
	u8 error;			/* RAID_WELL, or the first error */
};

enum { RAID_READ, RAID_WRITE, RAID_FLUSH, RAID_DISCARD, RAID_ZEROES, RAID_ZEROES_KEPT };
enum { RAID_WELL, RAID_LOST };
enum { RAID_TAKEN, RAID_PASSED_ON, RAID_REFUSED };

/* A request, and what C needs to find its bytes again. Lies in the room that device-mapper keeps beside each bio. */
struct raid_bio {
	struct raid_request request;
	struct llist_node node;
	struct bvec_iter iter;		/* as it was: whoever is below moves the bio's own */
	bool taken_over;		/* the array redoes it if it fails; true until that is decided */
};

/* Where a request that passes through goes. */
struct raid_where {
	struct dm_dev *device;
	u64 at;
	u32 sectors;
};

/* dm.c */
int raid_dm_register(void);
void raid_dm_unregister(void);
size_t raid_request_bytes(void);
struct dm_dev *raid_device_get(struct dm_target *target, const char *name);
bool raid_target_writes(struct dm_target *target);
void raid_device_put(struct dm_target *target, struct dm_dev *device);
u64 raid_device_sectors(struct dm_dev *device);
const char *raid_device_name(struct dm_dev *device);
u32 raid_device_block(struct dm_dev *device);
bool raid_device_flush(struct dm_dev *device);
bool raid_device_zeroes(struct dm_dev *device);

/* clerks.c */
struct raid_clerks *raid_clerks_new(void *array, u16 count);
void raid_clerks_free(struct raid_clerks *clerks);
void raid_clerk_wake(struct raid_clerks *clerks, u16 number);
void *raid_clerk_page(struct raid_clerks *clerks, u16 number);
bool raid_clerk_move(struct raid_clerks *clerks, u16 number, struct dm_dev *device, u64 at, u32 bytes, bool write);
u32 raid_memory_begin(void);
void raid_memory_end(u32 before);

/* io.c */
struct raid_lanes *raid_lanes_new(void *array, u16 count);
void raid_lanes_free(struct raid_lanes *lanes);
void raid_lane_wake(struct raid_lanes *lanes, u16 lane);
struct raid_io *raid_lane_take(struct raid_lanes *lanes, u16 lane);
struct raid_request *raid_lanes_take_failed(struct raid_lanes *lanes);
void raid_lanes_failed(struct raid_lanes *lanes, struct raid_bio *request);
void raid_lanes_wait(struct raid_lanes *lanes);
void raid_lanes_tick(struct raid_lanes *lanes, unsigned int after_ms);
void raid_lanes_no_tick(struct raid_lanes *lanes);

struct raid_io *raid_ios_new(u32 count, bool pages);
void raid_ios_free(struct raid_io *ios, u32 count);
struct raid_io *raid_io_at(struct raid_io *ios, u32 number);
struct raid_io *raid_io_next(struct raid_io *io);
void *raid_io_bytes(struct raid_io *io);
bool raid_io_well(struct raid_io *io);
void raid_io_taken(struct raid_lanes *lanes);
void raid_io_page(struct raid_io *io, struct raid_io *row, struct raid_lanes *lanes, u16 lane, struct dm_dev *device,
		  u64 at, u32 skip_bytes, u32 bytes, bool write, bool fua);
void raid_io_request(struct raid_io *io, struct raid_lanes *lanes, u16 lane, struct dm_dev *device, u64 at,
		     struct raid_request *request, u32 skip_bytes, u32 bytes, bool write, bool fua);
void raid_io_zeroes(struct raid_io *io, struct raid_lanes *lanes, u16 lane, struct dm_dev *device, u64 at, u32 bytes,
		    bool free, bool fua);
void raid_io_flush(struct raid_io *io, struct raid_lanes *lanes, u16 lane, struct dm_dev *device);
void raid_io_hold(struct raid_io *io, struct raid_lanes *lanes, u16 lane);
void raid_io_answer(struct raid_io *io, bool well);

void raid_request_copy(struct raid_request *request, u32 skip_bytes, void *buffer, u32 bytes, bool to_request);
void raid_request_end(struct raid_request *request);

/* cpu.c */
u32 raid_cpu_features(void);
void raid_cpu_begin(void);
void raid_cpu_end(void);
u64 raid_now_ms(void);
u64 raid_now_s(void);

/* Rust: src/target.rs */
int raid_rs_ctr(struct dm_target *target, u64 sectors, unsigned int argc, char **argv, void **array, char **error);
void raid_rs_dtr(void *array);
int raid_rs_map(void *array, struct raid_request *request, struct raid_where *where);
bool raid_rs_redoes(void *array);
struct raid_lanes *raid_rs_lanes(void *array);
void raid_rs_lane(void *array, u16 lane);
void raid_rs_tick(void *array);
void raid_rs_clerk(void *array, u16 number);
int raid_rs_preresume(void *array);
void raid_rs_resume(void *array);
void raid_rs_postsuspend(void *array);
void raid_rs_status(void *array, u8 form, char *result, unsigned int room);
int raid_rs_message(void *array, unsigned int argc, char **argv);
struct dm_dev *raid_rs_device(void *array, u16 number, u64 *start, u64 *sectors);
u32 raid_rs_hint(void *array, bool best);
bool raid_rs_discards(void *array);

#endif

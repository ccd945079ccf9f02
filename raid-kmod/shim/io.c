// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O to members, made beforehand: a bio lies inside of each struct raid_io, so nothing is allocated when it is sent.
 * A finished one is queued to a lane, whose work gives it to Rust in process context.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "shim.h"

#define RAID_VECS 16			/* pages that one bio can take to a member */
#define RAID_HELD 8			/* bios that a lane waits with for what follows on the same member */

struct raid_io {
	u64 token[8];			/* Rust's receipt. First: Rust reads it there. */
	struct llist_node node;
	struct raid_lanes *lanes;
	struct page *page;
	u16 lane;
	bool well;
	bool refused;			/* the device takes no such request: it is to be sent zeros */
	u32 zeroes;			/* bytes of zeros that it was asked to make */
	sector_t at;
	struct raid_request *request;	/* whose pages the bio is over; none if they are rows' */
	u32 skip_bytes;			/* where in the request its own bytes begin */
	struct raid_io *more;		/* whose bytes the bio takes too, behind these */
	struct raid_io *last;
	struct bio_vec vec[RAID_VECS];
	struct bio bio;
};

struct raid_lane {
	struct work_struct work;
	struct llist_head done;
	struct raid_lanes *lanes;
	struct task_struct *worker;	/* who runs it now, and alone touches what is held */
	struct raid_io *held[RAID_HELD];
	u16 number;
	u16 holds;
} ____cacheline_aligned_in_smp;

struct raid_lanes {
	void *array;
	struct workqueue_struct *queue;
	struct delayed_work tick;
	struct llist_head failed;
	atomic_t out;			/* I/O that Rust has not heard of yet */
	wait_queue_head_t quiet;
	u16 count;
	struct raid_lane lane[];
};

static void raid_lane_send(struct raid_lane *lane)
{
	u16 number;

	for (number = 0; number < lane->holds; number++)
		submit_bio_noacct(&lane->held[number]->bio);
	lane->holds = 0;
}

static void raid_lane_work(struct work_struct *work)
{
	struct raid_lane *lane = container_of(work, struct raid_lane, work);
	struct blk_plug plug;

	blk_start_plug(&plug);
	WRITE_ONCE(lane->worker, current);
	raid_rs_lane(lane->lanes->array, lane->number);
	raid_lane_send(lane);
	WRITE_ONCE(lane->worker, NULL);
	blk_finish_plug(&plug);
}

static void raid_tick_work(struct work_struct *work)
{
	struct raid_lanes *lanes = container_of(to_delayed_work(work), struct raid_lanes, tick);

	raid_rs_tick(lanes->array);
}

struct raid_lanes *raid_lanes_new(void *array, u16 count)
{
	struct raid_lanes *lanes = kvzalloc(struct_size(lanes, lane, count), GFP_KERNEL);
	u16 number;

	if (!lanes)
		return NULL;
	lanes->queue = alloc_workqueue("raid", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!lanes->queue) {
		kvfree(lanes);
		return NULL;
	}
	lanes->array = array;
	lanes->count = count;
	init_waitqueue_head(&lanes->quiet);
	init_llist_head(&lanes->failed);
	INIT_DELAYED_WORK(&lanes->tick, raid_tick_work);
	for (number = 0; number < count; number++) {
		struct raid_lane *lane = &lanes->lane[number];

		INIT_WORK(&lane->work, raid_lane_work);
		init_llist_head(&lane->done);
		lane->lanes = lanes;
		lane->number = number;
	}
	return lanes;
}

void raid_lanes_free(struct raid_lanes *lanes)
{
	cancel_delayed_work_sync(&lanes->tick);
	/* For all that are in raid_io_queue or raid_lanes_failed: what they queue is done before the queue is gone. */
	synchronize_rcu();
	destroy_workqueue(lanes->queue);
	kvfree(lanes);
}

void raid_lane_wake(struct raid_lanes *lanes, u16 lane)
{
	queue_work(lanes->queue, &lanes->lane[lane].work);
}


struct raid_io *raid_io_next(struct raid_io *io)
{
	return io->node.next ? llist_entry(io->node.next, struct raid_io, node) : NULL;
}

/* All requests that failed below since the last call, chained by their own links. */
struct raid_request *raid_lanes_take_failed(struct raid_lanes *lanes)
{
	struct llist_node *node = llist_del_all(&lanes->failed);
	struct raid_request *chain = NULL;
	struct raid_bio *beside, *next;

	llist_for_each_entry_safe(beside, next, node, node) {
		beside->request.next = chain;
		chain = &beside->request;
	}
	return chain;
}

void raid_lanes_failed(struct raid_lanes *lanes, struct raid_bio *beside)
{
	rcu_read_lock();
	llist_add(&beside->node, &lanes->failed);
	raid_lane_wake(lanes, 0);
	rcu_read_unlock();
}

static bool raid_lanes_are_busy(struct raid_lanes *lanes)
{
	bool busy = atomic_read(&lanes->out);
	u16 number;

	for (number = 0; number < lanes->count; number++)
		busy |= !!work_busy(&lanes->lane[number].work);
	return busy;
}

/* Waits until nothing is out and no lane has anything to do. Lanes wake each other, and send more. */
void raid_lanes_wait(struct raid_lanes *lanes)
{
	do {
		wait_event(lanes->quiet, !atomic_read(&lanes->out));
		flush_workqueue(lanes->queue);
	} while (raid_lanes_are_busy(lanes));
}

void raid_lanes_tick(struct raid_lanes *lanes, unsigned int after_ms)
{
	queue_delayed_work(lanes->queue, &lanes->tick, msecs_to_jiffies(after_ms));
}

void raid_lanes_no_tick(struct raid_lanes *lanes)
{
	cancel_delayed_work_sync(&lanes->tick);
}

struct raid_io *raid_ios_new(u32 count, bool pages)
{
	struct raid_io *ios = kvcalloc(count, sizeof(*ios), GFP_KERNEL);
	u32 number;

	for (number = 0; ios && pages && number < count; number++) {
		ios[number].page = alloc_page(GFP_KERNEL);
		if (!ios[number].page) {
			raid_ios_free(ios, count);
			return NULL;
		}
	}
	return ios;
}

void raid_ios_free(struct raid_io *ios, u32 count)
{
	u32 number;

	for (number = 0; number < count; number++)
		if (ios[number].page)
			__free_page(ios[number].page);
	kvfree(ios);
}

struct raid_io *raid_io_at(struct raid_io *ios, u32 number)
{
	return &ios[number];
}

void *raid_io_bytes(struct raid_io *io)
{
	return page_address(io->page);
}

bool raid_io_well(struct raid_io *io)
{
	return io->well;
}

void raid_io_taken(struct raid_lanes *lanes)
{
	if (atomic_dec_and_test(&lanes->out))
		wake_up(&lanes->quiet);
}

/*
 * Once it is in the list it may be taken, by a work that somebody else queued: then it may be the last that was out, and the table be
 * taken away. Whoever is still here is waited for, see raid_lanes_free.
 */
static void raid_io_queue(struct raid_io *io)
{
	struct raid_lanes *lanes = io->lanes;
	struct raid_lane *lane = &lanes->lane[io->lane];

	rcu_read_lock();
	llist_add(&io->node, &lane->done);
	queue_work(lanes->queue, &lane->work);
	rcu_read_unlock();
}

/* May run in an interrupt. */
static void raid_io_end(struct bio *bio)
{
	struct raid_io *io = bio->bi_private, *more;
	bool well = !bio->bi_status;

	io->refused = io->zeroes && bio->bi_status == BLK_STS_NOTSUPP;
	bio_uninit(bio);
	/* What is queued may be another's at once. */
	for (; io; io = more) {
		more = io->more;
		io->well = well;
		raid_io_queue(io);
	}
}

static void raid_io_out(struct raid_io *io, struct raid_lanes *lanes, u16 lane)
{
	io->lanes = lanes;
	io->lane = lane;
	io->refused = false;
	io->zeroes = 0;
	io->request = NULL;
	io->more = NULL;
	io->last = io;
	atomic_inc(&lanes->out);
}

static void raid_io_send(struct raid_io *io, u64 at)
{
	io->bio.bi_iter.bi_sector = at;
	io->bio.bi_end_io = raid_io_end;
	io->bio.bi_private = io;
	submit_bio_noacct(&io->bio);
}

/* The bytes of io go on where those of held end, on the member and in memory. */
static bool raid_io_joins(struct raid_io *held, struct raid_io *io, u64 at)
{
	struct bio *bio = &held->bio;

	if (bio->bi_bdev != io->bio.bi_bdev || bio->bi_opf != io->bio.bi_opf || bio_end_sector(bio) != at ||
	    held->request != io->request)
		return false;
	if (!io->request)
		return bio_add_page(bio, io->vec[0].bv_page, io->vec[0].bv_len, io->vec[0].bv_offset);
	if (held->skip_bytes + bio->bi_iter.bi_size != io->skip_bytes)
		return false;
	bio->bi_iter.bi_size += io->bio.bi_iter.bi_size;
	return true;
}

/*
 * A write waits until its lane has done what it can: rows that follow each other on a member go there in one bio. A read does not,
 * since of several rows that fail together nobody knows which one is bad.
 */
static void raid_io_write(struct raid_io *io, u64 at)
{
	struct raid_lane *lane = &io->lanes->lane[io->lane];
	u16 number;

	if (READ_ONCE(lane->worker) != current) {
		raid_io_send(io, at);
		return;
	}
	for (number = 0; number < lane->holds; number++) {
		struct raid_io *held = lane->held[number];

		if (raid_io_joins(held, io, at)) {
			held->last->more = io;
			held->last = io;
			bio_uninit(&io->bio);
			return;
		}
	}
	if (lane->holds == RAID_HELD)
		raid_lane_send(lane);
	io->bio.bi_iter.bi_sector = at;
	io->bio.bi_end_io = raid_io_end;
	io->bio.bi_private = io;
	lane->held[lane->holds++] = io;
}

static blk_opf_t raid_io_flags(bool write, bool fua)
{
	return write ? REQ_OP_WRITE | (fua ? REQ_FUA : 0) : REQ_OP_READ;
}

/* The bytes are those of row's page, which may be another's. */
void raid_io_page(struct raid_io *io, struct raid_io *row, struct raid_lanes *lanes, u16 lane, struct dm_dev *device,
		  u64 at, u32 skip_bytes, u32 bytes, bool write, bool fua)
{
	raid_io_out(io, lanes, lane);
	bio_init(&io->bio, device->bdev, io->vec, RAID_VECS, raid_io_flags(write, fua));
	__bio_add_page(&io->bio, row->page, bytes, skip_bytes);
	if (write)
		raid_io_write(io, at);
	else
		raid_io_send(io, at);
}

static struct raid_bio *raid_beside(struct raid_request *request)
{
	return container_of(request, struct raid_bio, request);
}

static struct bio *raid_bio(struct raid_request *request)
{
	return dm_bio_from_per_bio_data(raid_beside(request), sizeof(struct raid_bio));
}

/* The list of a bio's pages is shared, its place in it is not. */
void raid_io_request(struct raid_io *io, struct raid_lanes *lanes, u16 lane, struct dm_dev *device, u64 at,
		     struct raid_request *request, u32 skip_bytes, u32 bytes, bool write, bool fua)
{
	struct bio *bio = raid_bio(request);

	raid_io_out(io, lanes, lane);
	bio_init(&io->bio, device->bdev, bio->bi_io_vec, 0, raid_io_flags(write, fua));
	bio_set_flag(&io->bio, BIO_CLONED);
	io->bio.bi_iter = raid_beside(request)->iter;
	bio_advance_iter(&io->bio, &io->bio.bi_iter, skip_bytes);
	io->bio.bi_iter.bi_size = bytes;
	io->request = request;
	io->skip_bytes = skip_bytes;
	if (write)
		raid_io_write(io, at);
	else
		raid_io_send(io, at);
}

static void raid_io_send_zeroes(struct raid_io *io, struct block_device *device, u64 at, u32 bytes, bool fua)
{
	bio_init(&io->bio, device, io->vec, RAID_VECS, raid_io_flags(true, fua));
	__bio_add_page(&io->bio, ZERO_PAGE(0), bytes, 0);
	raid_io_send(io, at);
}

/* A row at most. Whoever cannot be told is sent zeros; so is whoever must have them durable, since no such request can say that. */
void raid_io_zeroes(struct raid_io *io, struct raid_lanes *lanes, u16 lane, struct dm_dev *device, u64 at, u32 bytes,
		    bool free, bool fua)
{
	raid_io_out(io, lanes, lane);
	if (fua || bdev_write_zeroes_sectors(device->bdev) < bytes >> SECTOR_SHIFT) {
		raid_io_send_zeroes(io, device->bdev, at, bytes, fua);
		return;
	}
	bio_init(&io->bio, device->bdev, NULL, 0, REQ_OP_WRITE_ZEROES | (free ? 0 : REQ_NOUNMAP));
	io->bio.bi_iter.bi_size = bytes;
	io->zeroes = bytes;
	io->at = at;
	raid_io_send(io, at);
}

/* A device may say only now that it takes no such request, which is no failure: some file systems cannot zero a file in place. */
static struct llist_node *raid_lane_again(struct llist_node *node)
{
	struct llist_node *first = NULL, *next;

	for (; node; node = next) {
		struct raid_io *io = llist_entry(node, struct raid_io, node);

		next = node->next;
		if (io->refused) {
			u32 bytes = io->zeroes;

			io->zeroes = 0;
			raid_io_send_zeroes(io, io->bio.bi_bdev, io->at, bytes, false);
		} else {
			node->next = first;
			first = node;
		}
	}
	return first;
}

/* All that finished since the last call, in the order of finishing. */
struct raid_io *raid_lane_take(struct raid_lanes *lanes, u16 lane)
{
	struct llist_node *node = raid_lane_again(llist_del_all(&lanes->lane[lane].done));

	return node ? llist_entry(node, struct raid_io, node) : NULL;
}

void raid_io_flush(struct raid_io *io, struct raid_lanes *lanes, u16 lane, struct dm_dev *device)
{
	raid_io_out(io, lanes, lane);
	bio_init(&io->bio, device->bdev, NULL, 0, REQ_OP_WRITE | REQ_PREFLUSH);
	raid_io_send(io, 0);
}

/* No bio: somebody else does it, or there is nothing to be done. The answer comes as all others do. */
void raid_io_hold(struct raid_io *io, struct raid_lanes *lanes, u16 lane)
{
	raid_io_out(io, lanes, lane);
}

void raid_io_answer(struct raid_io *io, bool well)
{
	io->well = well;
	raid_io_queue(io);
}

void raid_request_copy(struct raid_request *request, u32 skip_bytes, void *buffer, u32 bytes, bool to_request)
{
	struct bio *bio = raid_bio(request);
	struct bvec_iter iter = raid_beside(request)->iter;
	struct bio_vec vec;

	bio_advance_iter(bio, &iter, skip_bytes);
	iter.bi_size = bytes;
	__bio_for_each_segment(vec, bio, iter, iter) {
		if (to_request)
			memcpy_to_bvec(&vec, buffer);
		else
			memcpy_from_bvec(buffer, &vec);
		buffer += vec.bv_len;
	}
}

void raid_request_end(struct raid_request *request)
{
	struct bio *bio = raid_bio(request);

	bio->bi_status = request->error == RAID_WELL ? BLK_STS_OK : BLK_STS_IOERR;
	bio_endio(bio);
}

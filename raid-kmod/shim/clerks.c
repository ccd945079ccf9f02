// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metadata: each slot has a clerk, a work item that moves one page at a time and waits for it. What is written is durable when that
 * returns.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "shim.h"

struct raid_clerk {
	struct work_struct work;
	struct raid_clerks *clerks;
	struct page *page;
	u16 number;
};

struct raid_clerks {
	void *array;
	struct workqueue_struct *queue;
	u16 count;
	struct raid_clerk clerk[];
};

static void raid_clerk_work(struct work_struct *work)
{
	struct raid_clerk *clerk = container_of(work, struct raid_clerk, work);

	raid_rs_clerk(clerk->clerks->array, clerk->number);
}

void raid_clerks_free(struct raid_clerks *clerks)
{
	u16 number;

	if (clerks->queue)
		destroy_workqueue(clerks->queue);
	for (number = 0; number < clerks->count; number++)
		if (clerks->clerk[number].page)
			__free_page(clerks->clerk[number].page);
	kvfree(clerks);
}

struct raid_clerks *raid_clerks_new(void *array, u16 count)
{
	struct raid_clerks *clerks = kvzalloc(struct_size(clerks, clerk, count), GFP_KERNEL);
	bool whole;
	u16 number;

	if (!clerks)
		return NULL;
	clerks->array = array;
	clerks->count = count;
	clerks->queue = alloc_workqueue("raid_meta", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	whole = clerks->queue;
	for (number = 0; number < count; number++) {
		struct raid_clerk *clerk = &clerks->clerk[number];

		INIT_WORK(&clerk->work, raid_clerk_work);
		clerk->clerks = clerks;
		clerk->number = number;
		clerk->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
		whole = whole && clerk->page;
	}
	if (whole)
		return clerks;
	raid_clerks_free(clerks);
	return NULL;
}

void raid_clerk_wake(struct raid_clerks *clerks, u16 number)
{
	queue_work(clerks->queue, &clerks->clerk[number].work);
}

void *raid_clerk_page(struct raid_clerks *clerks, u16 number)
{
	return page_address(clerks->clerk[number].page);
}

/* Moves the first bytes of the clerk's page. */
bool raid_clerk_move(struct raid_clerks *clerks, u16 number, struct dm_dev *device, u64 at, u32 bytes, bool write)
{
	struct bio_vec vec;
	struct bio bio;
	int error;

	bio_init(&bio, device->bdev, &vec, 1, write ? REQ_OP_WRITE | REQ_SYNC | REQ_META | REQ_FUA : REQ_OP_READ | REQ_META);
	bio.bi_iter.bi_sector = at;
	__bio_add_page(&bio, clerks->clerk[number].page, bytes, 0);
	error = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return !error;
}

/* What is allocated from here on starts no I/O: it could be to a device that is suspended. */
u32 raid_memory_begin(void)
{
	return memalloc_noio_save();
}

void raid_memory_end(u32 before)
{
	memalloc_noio_restore(before);
}

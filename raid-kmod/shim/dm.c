// SPDX-License-Identifier: GPL-2.0-only
/* Owns struct target_type and forwards. It decides nothing. */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/module.h>

#include "shim.h"

size_t raid_request_bytes(void)
{
	return sizeof(struct raid_request);
}

struct dm_dev *raid_device_get(struct dm_target *target, const char *name)
{
	struct dm_dev *device;

	return dm_get_device(target, name, dm_table_get_mode(target->table), &device) ? NULL : device;
}

/* False for a table that is loaded for reading only. */
bool raid_target_writes(struct dm_target *target)
{
	return dm_table_get_mode(target->table) & BLK_OPEN_WRITE;
}

void raid_device_put(struct dm_target *target, struct dm_dev *device)
{
	dm_put_device(target, device);
}

u64 raid_device_sectors(struct dm_dev *device)
{
	return bdev_nr_sectors(device->bdev);
}

const char *raid_device_name(struct dm_dev *device)
{
	return device->name;
}

u32 raid_device_block(struct dm_dev *device)
{
	return bdev_logical_block_size(device->bdev);
}

bool raid_device_flush(struct dm_dev *device)
{
	return !blkdev_issue_flush(device->bdev);
}

/* It can be told to make sectors zeros, which costs it little, and frees them if it can. */
bool raid_device_zeroes(struct dm_dev *device)
{
	return bdev_write_zeroes_sectors(device->bdev);
}

static int raid_ctr(struct dm_target *target, unsigned int argc, char **argv)
{
	int result = raid_rs_ctr(target, target->len, argc, argv, &target->private, &target->error);

	if (result)
		return result;
	target->num_flush_bios = 1;
	target->num_write_zeroes_bios = 1;
	target->num_discard_bios = raid_rs_discards(target->private);
	target->flush_supported = true;
	target->needs_bio_set_dev = true;
	target->per_io_data_size = sizeof(struct raid_bio);
	return 0;
}

static void raid_dtr(struct dm_target *target)
{
	raid_rs_dtr(target->private);
}

static bool raid_op(struct bio *bio, u8 *op)
{
	if (bio->bi_opf & REQ_PREFLUSH) {
		*op = RAID_FLUSH;
		return true;
	}
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		*op = RAID_READ;
		return true;
	case REQ_OP_WRITE:
		*op = RAID_WRITE;
		return true;
	case REQ_OP_DISCARD:
		*op = RAID_DISCARD;
		return true;
	case REQ_OP_WRITE_ZEROES:
		*op = bio->bi_opf & REQ_NOUNMAP ? RAID_ZEROES_KEPT : RAID_ZEROES;
		return true;
	default:
		return false;
	}
}

static int raid_map(struct dm_target *target, struct bio *bio)
{
	struct raid_bio *beside = dm_per_bio_data(bio, sizeof(*beside));
	struct raid_request *request = &beside->request;
	struct raid_where where;

	*request = (struct raid_request) {
		.at = dm_target_offset(target, bio->bi_iter.bi_sector),
		.sectors = bio_sectors(bio),
		.fua = bio->bi_opf & REQ_FUA,
	};
	if (!raid_op(bio, &request->op))
		return DM_MAPIO_KILL;
	beside->iter = bio->bi_iter;
	beside->taken_over = false;
	switch (raid_rs_map(target->private, request, &where)) {
	case RAID_PASSED_ON:
		beside->taken_over = raid_rs_redoes(target->private);
		if (where.sectors < request->sectors)
			dm_accept_partial_bio(bio, where.sectors);
		request->sectors = where.sectors;
		beside->iter = bio->bi_iter;
		bio_set_dev(bio, where.device->bdev);
		bio->bi_iter.bi_sector = where.at;
		return DM_MAPIO_REMAPPED;
	case RAID_TAKEN:
		return DM_MAPIO_SUBMITTED;
	default:
		return DM_MAPIO_KILL;
	}
}

/* May run in an interrupt: a request that failed below is queued for whoever can do it another way. */
static int raid_end_io(struct dm_target *target, struct bio *bio, blk_status_t *error)
{
	struct raid_bio *beside = dm_per_bio_data(bio, sizeof(*beside));

	if (!beside->taken_over || !*error)
		return DM_ENDIO_DONE;
	beside->taken_over = false;
	bio->bi_status = BLK_STS_OK;
	raid_lanes_failed(raid_rs_lanes(target->private), beside);
	return DM_ENDIO_INCOMPLETE;
}

static int raid_preresume(struct dm_target *target)
{
	return raid_rs_preresume(target->private);
}

static void raid_resume(struct dm_target *target)
{
	raid_rs_resume(target->private);
}

static void raid_postsuspend(struct dm_target *target)
{
	raid_rs_postsuspend(target->private);
}

static void raid_status(struct dm_target *target, status_type_t type, unsigned int flags, char *result,
			unsigned int room)
{
	raid_rs_status(target->private, type == STATUSTYPE_INFO ? 0 : type == STATUSTYPE_TABLE ? 1 : 2, result, room);
}

static int raid_message(struct dm_target *target, unsigned int argc, char **argv, char *result, unsigned int room)
{
	return raid_rs_message(target->private, argc, argv);
}

static int raid_iterate_devices(struct dm_target *target, iterate_devices_callout_fn call, void *data)
{
	struct dm_dev *device;
	u64 start, sectors;
	int result = 0;
	u16 number;

	for (number = 0; !result && number < 256; number++) {
		device = raid_rs_device(target->private, number, &start, &sectors);
		if (device)
			result = call(target, device, start, sectors, data);
	}
	return result;
}

/* Pages must not change while several members, or parity, are made of them. */
static void raid_io_hints(struct dm_target *target, struct queue_limits *limits)
{
	u32 least = raid_rs_hint(target->private, false);

	if (least) {
		limits->io_min = least;
		limits->io_opt = raid_rs_hint(target->private, true);
	}
	limits->features |= BLK_FEAT_STABLE_WRITES;
}

static struct target_type raid_target = {
	.name = "raid-kmod",
	.version = { 0, 1, 0 },
	.module = THIS_MODULE,
	.ctr = raid_ctr,
	.dtr = raid_dtr,
	.map = raid_map,
	.end_io = raid_end_io,
	.postsuspend = raid_postsuspend,
	.preresume = raid_preresume,
	.resume = raid_resume,
	.status = raid_status,
	.message = raid_message,
	.iterate_devices = raid_iterate_devices,
	.io_hints = raid_io_hints,
};

int raid_dm_register(void)
{
	return dm_register_target(&raid_target);
}

void raid_dm_unregister(void)
{
	dm_unregister_target(&raid_target);
}

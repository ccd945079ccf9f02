// SPDX-License-Identifier: GPL-2.0-only
/* The CPU: its vector registers, whether they are there, and leave to use them; and its clock. */
#include <linux/kernel.h>
#include <linux/timekeeping.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>

#include "shim.h"

/* Bits as in src/parity.rs. */
u32 raid_cpu_features(void)
{
	u32 features = 0;

	if (boot_cpu_has(X86_FEATURE_SSSE3))
		features |= 1;
	if (boot_cpu_has(X86_FEATURE_AVX2))
		features |= 2;
	if (boot_cpu_has(X86_FEATURE_AVX512F) && boot_cpu_has(X86_FEATURE_AVX512BW))
		features |= 4;
	if (boot_cpu_has(X86_FEATURE_GFNI))
		features |= 8;
	return features;
}

void raid_cpu_begin(void)
{
	kernel_fpu_begin();
}

void raid_cpu_end(void)
{
	kernel_fpu_end();
}

/* Since 1970. */
u64 raid_now_s(void)
{
	return ktime_get_real_seconds();
}

u64 raid_now_ms(void)
{
	return ktime_get_ns() / NSEC_PER_MSEC;
}

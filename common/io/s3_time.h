/* SPDX-License-Identifier: Apache-2.0
 *
 * The times of S3: "20130524T000000Z" for signing, "Fri, 24 May 2013 00:00:00 GMT" (HTTP headers),
 * "2013-05-24T00:00:00.000Z" (listings). Pure; UTC and English whatever the locale.
 */
#ifndef HF_IO_S3_TIME_H
#define HF_IO_S3_TIME_H

#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_S3_STAMP_SIZE = 17 };

void hf_s3_stamp(hf_wall t, char ret[HF_S3_STAMP_SIZE]);
/* Either of the two other forms. HF_E_INVALID. */
hf_result hf_s3_time_parse(const char *text, hf_wall *ret, struct hf_err *err) HF_MUST_USE;

#endif

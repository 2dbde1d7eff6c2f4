/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of client.yaml, for the reference.
 */
#ifndef HF_CTL_CLIENT_CONFIG_H
#define HF_CTL_CLIENT_CONFIG_H

#include "common/io/config.h"

extern const struct hf_option HF_CTL_CLIENT_OPTIONS[];

#endif

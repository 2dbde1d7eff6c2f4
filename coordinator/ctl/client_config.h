/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of client.yaml: for its reader (client_config.c) and for the reference.
 * Invariant: they describe struct hf_ctl_client_config (client.h), and nothing in it is a secret.
 */
#ifndef HF_CTL_CLIENT_CONFIG_H
#define HF_CTL_CLIENT_CONFIG_H

#include "common/io/config.h"

extern const struct hf_option HF_CTL_CLIENT_OPTIONS[];

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A parsed file: its tree, kept for the origins of values. Internal to common/io/config*.c.
 */
#ifndef HF_IO_CONFIG_INTERNAL_H
#define HF_IO_CONFIG_INTERNAL_H

#include "common/io/config.h"
#include "common/io/yaml.h"

struct hf_config {
    struct hf_yaml_doc *doc;
    char *directory; /* absolute; relative paths are taken from here */
    const struct hf_option *table;
};

#endif

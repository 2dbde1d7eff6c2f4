/* SPDX-License-Identifier: Apache-2.0
 *
 * Names that saving and reading of salvaged WAL share; nobody else includes it.
 */
#ifndef HF_REJOIN_SALVAGE_INTERNAL_H
#define HF_REJOIN_SALVAGE_INTERNAL_H

#include "agent/rejoin/salvage.h"
#include "agent/repo/wal_object.h"

#define HF_SALVAGE_REPORT      "report" /* the object */
#define HF_SALVAGE_REPORT_FILE "report.json"

/* salvage/<node>/<id>/<leaf>, and the kind that such a file is stored as. */
void hf_salvage_object(const char *node, const char *id, const char *leaf,
                       struct hf_content_name *ret);
/* Of this host: <state_dir>/salvage/<id>; id "": the directory of all. */
void hf_salvage_directory(const struct hf_config_agent *config, const char *id, char *ret,
                          size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * XML at the edge, over expat (xml.c alone includes it): a bounded streaming reader that reports
 * each element when it ends.
 * Invariants: depth, text and total size are bounded; a document type declaration (and with it any
 * entity of the document's own) is refused; namespace prefixes are cut off; after a failure every
 * further call fails.
 */
#ifndef HF_IO_XML_H
#define HF_IO_XML_H

#include <stddef.h>

#include "common/base/err.h"

enum {
    HF_XML_DEPTH = 16,
    HF_XML_PATH_SIZE = 512, /* names joined by '/', with the NUL */
    HF_XML_TEXT_MAX = 8192  /* bytes of one element's own text */
};

/* path: "Root/Child/Leaf"; text: what stood directly in the element (with children: also the white
 * space between them). Both borrowed for the call. A failure ends the reading with it. */
typedef hf_result (*hf_xml_element_end)(void *arg, const char *path, const char *text, size_t len,
                                        struct hf_err *err);

struct hf_xml;
struct hf_xml *hf_xml_new(size_t max_bytes, hf_xml_element_end on_end, void *arg);
void hf_xml_free(struct hf_xml *x); /* NULL allowed */
void hf_xml_cleanup(struct hf_xml **x);
#define HF_AUTOXML __attribute__((cleanup(hf_xml_cleanup)))
/* HF_E_CORRUPT (not well-formed, DOCTYPE), HF_E_LIMIT, or the callback's failure. */
hf_result hf_xml_feed(struct hf_xml *x, const void *bytes, size_t len,
                      struct hf_err *err) HF_MUST_USE;
/* The end of the document: HF_E_CORRUPT when it is not complete. */
hf_result hf_xml_finish(struct hf_xml *x, struct hf_err *err) HF_MUST_USE;

#endif

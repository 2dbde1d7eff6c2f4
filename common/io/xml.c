/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/xml.h"

#include <expat.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

struct hf_xml {
    XML_Parser parser;
    hf_xml_element_end on_end;
    void *arg;
    size_t left; /* bytes still allowed */
    char path[HF_XML_PATH_SIZE];
    size_t path_len;
    size_t starts[HF_XML_DEPTH]; /* where the element's name (with its '/') begins in path */
    size_t text_starts[HF_XML_DEPTH];
    int depth;
    struct hf_buf text;   /* of all open elements, one after the other */
    struct hf_err failed; /* code HF_OK while all is well */
};

static void stop(struct hf_xml *x, hf_result r)
{
    HF_ASSERT(!hf_ok(r) && x->failed.code != HF_OK);
    (void)XML_StopParser(x->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct hf_xml *x = arg;
    if (x->failed.code != HF_OK) {
        return;
    }
    const char *colon = strrchr(name, ':');
    const char *local = colon == NULL ? name : colon + 1;
    size_t len = strlen(local);
    if (x->depth == HF_XML_DEPTH || len + 2 > sizeof x->path - x->path_len) {
        stop(x, hf_fail(&x->failed, HF_E_LIMIT, "XML nested deeper than %d or names too long",
                        HF_XML_DEPTH));
        return;
    }
    x->starts[x->depth] = x->path_len;
    x->text_starts[x->depth] = x->text.len;
    x->depth++;
    if (x->path_len > 0) {
        x->path[x->path_len++] = '/';
    }
    memcpy(x->path + x->path_len, local, len + 1);
    x->path_len += len;
}

static void XMLCALL on_text(void *arg, const XML_Char *bytes, int len)
{
    struct hf_xml *x = arg;
    if (x->failed.code != HF_OK || x->depth == 0) {
        return;
    }
    size_t have = x->text.len - x->text_starts[x->depth - 1];
    if ((size_t)len > HF_XML_TEXT_MAX - have) {
        stop(x, hf_fail(&x->failed, HF_E_LIMIT, "XML text of %s is longer than %d bytes", x->path,
                        HF_XML_TEXT_MAX));
        return;
    }
    hf_result r = hf_buf_append(&x->text, bytes, (size_t)len, &x->failed);
    if (!hf_ok(r)) {
        stop(x, r);
    }
}

static void XMLCALL on_finish(void *arg, const XML_Char *name)
{
    (void)name;
    struct hf_xml *x = arg;
    if (x->failed.code != HF_OK) {
        return;
    }
    HF_ASSERT(x->depth > 0);
    x->depth--;
    size_t begin = x->text_starts[x->depth];
    hf_result r =
        x->on_end(x->arg, x->path, hf_buf_text(&x->text) + begin, x->text.len - begin, &x->failed);
    if (!hf_ok(r)) {
        if (x->failed.code == HF_OK) {
            x->failed.code = r.code;
        }
        stop(x, r);
        return;
    }
    x->failed = (struct hf_err){0};
    x->text.len = begin;
    if (x->text.data != NULL) {
        x->text.data[begin] = '\0';
    }
    x->path_len = x->starts[x->depth];
    x->path[x->path_len] = '\0';
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal;
    struct hf_xml *x = arg;
    if (x->failed.code == HF_OK) {
        stop(x, hf_fail(&x->failed, HF_E_CORRUPT, "XML with a document type is refused"));
    }
}

struct hf_xml *hf_xml_new(size_t max_bytes, hf_xml_element_end on_end, void *arg)
{
    struct hf_xml *x = hf_alloc(sizeof *x);
    x->parser = XML_ParserCreate(NULL);
    HF_ASSERT(x->parser != NULL);
    x->on_end = on_end;
    x->arg = arg;
    x->left = max_bytes;
    x->text = HF_BUF_INIT((size_t)HF_XML_TEXT_MAX * HF_XML_DEPTH);
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, on_start, on_finish);
    XML_SetCharacterDataHandler(x->parser, on_text);
    XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
    return x;
}

void hf_xml_free(struct hf_xml *x)
{
    if (x != NULL) {
        XML_ParserFree(x->parser);
        hf_buf_free(&x->text);
        hf_free(x);
    }
}

void hf_xml_cleanup(struct hf_xml **x)
{
    hf_xml_free(*x);
    *x = NULL;
}

static hf_result fail_again(const struct hf_xml *x, struct hf_err *err)
{
    return hf_fail(err, x->failed.code, "%s", x->failed.text);
}

static hf_result parse(struct hf_xml *x, const char *bytes, size_t len, bool last,
                       struct hf_err *err)
{
    if (x->failed.code != HF_OK) {
        return fail_again(x, err);
    }
    if (len > x->left) {
        (void)hf_fail(&x->failed, HF_E_LIMIT, "XML document is longer than allowed");
        return fail_again(x, err);
    }
    x->left -= len;
    if (XML_Parse(x->parser, bytes, (int)len, last) == XML_STATUS_OK && x->failed.code == HF_OK) {
        return hf_done();
    }
    if (x->failed.code == HF_OK) {
        (void)hf_fail(&x->failed, HF_E_CORRUPT, "XML: %s at line %lu",
                      XML_ErrorString(XML_GetErrorCode(x->parser)),
                      (unsigned long)XML_GetCurrentLineNumber(x->parser));
    }
    return fail_again(x, err);
}

hf_result hf_xml_feed(struct hf_xml *x, const void *bytes, size_t len, struct hf_err *err)
{
    enum { STEP = 1 << 20 };
    const char *at = bytes;
    while (len > 0) {
        size_t n = len < STEP ? len : STEP;
        HF_TRY(parse(x, at, n, false, err));
        at += n;
        len -= n;
    }
    return hf_done();
}

hf_result hf_xml_finish(struct hf_xml *x, struct hf_err *err)
{
    return parse(x, "", 0, true, err);
}

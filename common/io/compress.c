/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/compress.h"

#include <zstd.h>
#include <zstd_errors.h>

#include "common/base/mem.h"

struct hf_compressor {
    ZSTD_CCtx *context;
};

struct hf_decompressor {
    ZSTD_DCtx *context;
};

static void set_parameter(ZSTD_CCtx *context, ZSTD_cParameter parameter, int value)
{
    HF_ASSERT(!ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)));
}

struct hf_compressor *hf_compressor_new(int level)
{
    struct hf_compressor *c = hf_alloc(sizeof *c);
    c->context = ZSTD_createCCtx();
    HF_ASSERT(c->context != NULL);
    int clamped = level < HF_COMPRESS_LEVEL_MIN   ? HF_COMPRESS_LEVEL_MIN
                  : level > HF_COMPRESS_LEVEL_MAX ? HF_COMPRESS_LEVEL_MAX
                                                  : level;
    set_parameter(c->context, ZSTD_c_compressionLevel, clamped);
    set_parameter(c->context, ZSTD_c_contentSizeFlag, 1);
    /* what is sealed afterwards needs no checksum of its own */
    set_parameter(c->context, ZSTD_c_checksumFlag, 0);
    return c;
}

void hf_compressor_free(struct hf_compressor *c)
{
    if (c != NULL) {
        (void)ZSTD_freeCCtx(c->context);
        hf_free(c);
    }
}

size_t hf_compress_bound(size_t len)
{
    return ZSTD_compressBound(len);
}

hf_result hf_compress_frame(struct hf_compressor *c, const void *bytes, size_t len, void *out,
                            size_t room, size_t *ret_len, struct hf_err *err)
{
    size_t n = ZSTD_compress2(c->context, out, room, bytes, len);
    if (!ZSTD_isError(n)) {
        *ret_len = n;
        return hf_done();
    }
    if (ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall) {
        return hf_fail(err, HF_E_LIMIT, "compressing %zu bytes needs more than %zu bytes of room",
                       len, room);
    }
    return hf_fail(err, HF_E_INTERNAL, "compressing %zu bytes: %s", len, ZSTD_getErrorName(n));
}

struct hf_decompressor *hf_decompressor_new(void)
{
    struct hf_decompressor *d = hf_alloc(sizeof *d);
    d->context = ZSTD_createDCtx();
    HF_ASSERT(d->context != NULL);
    return d;
}

void hf_decompressor_free(struct hf_decompressor *d)
{
    if (d != NULL) {
        (void)ZSTD_freeDCtx(d->context);
        hf_free(d);
    }
}

hf_result hf_decompress_frame(struct hf_decompressor *d, const void *frame, size_t frame_len,
                              void *out, size_t expected_len, struct hf_err *err)
{
    unsigned long long declared = ZSTD_getFrameContentSize(frame, frame_len);
    if (declared == ZSTD_CONTENTSIZE_ERROR || declared == ZSTD_CONTENTSIZE_UNKNOWN) {
        return hf_fail(err, HF_E_CORRUPT, "compressed frame of %zu bytes declares no size",
                       frame_len);
    }
    if (declared != expected_len) {
        return hf_fail(err, HF_E_CORRUPT, "compressed frame declares %llu bytes, expected %zu",
                       declared, expected_len);
    }
    size_t whole = ZSTD_findFrameCompressedSize(frame, frame_len);
    if (ZSTD_isError(whole) || whole != frame_len) {
        return hf_fail(err, HF_E_CORRUPT, "compressed frame is not exactly %zu bytes long",
                       frame_len);
    }
    size_t n = ZSTD_decompressDCtx(d->context, out, expected_len, frame, frame_len);
    if (ZSTD_isError(n)) {
        return hf_fail(err, HF_E_CORRUPT, "compressed frame: %s", ZSTD_getErrorName(n));
    }
    if (n != expected_len) {
        return hf_fail(err, HF_E_CORRUPT, "compressed frame has %zu bytes, expected %zu", n,
                       expected_len);
    }
    return hf_done();
}

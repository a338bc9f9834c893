// The stand-ins for libnvrtc, which compiles nothing, as the kernels are compiled already; and for
// libcublas, by plain loops.
//
// By environment variables, each with the prefix WAVEMIX_STAND_IN_:
//   REFUSE=file.cu    which does not compile
//   LIBRARIES=n       the CUDA that both are of (default 13)
#include "device.h"
#include "driver.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace stand_in;

// ---- NVRTC.

struct Program { std::string file, source, image, log; };

API nvrtcVersion(int* major, int* minor) { return *major = setting("LIBRARIES", 13), *minor = 0, 0; }
API nvrtcGetNumSupportedArchs(int* count) { return *count = 3, 0; }
API nvrtcGetSupportedArchs(int* archs) { return archs[0] = 75, archs[1] = 80, archs[2] = 90, 0; }
extern "C" __attribute__((visibility("default"))) const char* nvrtcGetErrorString(int error) { return error ? "NVRTC_ERROR_COMPILATION" : "NVRTC_SUCCESS"; }
API nvrtcCreateProgram(void** out, const char* source, const char* file, int, const char* const*, const char* const*) {
    return *out = new Program{file ? file : "", source, "", ""}, 0;
}
API nvrtcCompileProgram(void* program, int count, const char* const* options) {
    Program& p = *(Program*)program;
    const char* refused = getenv("WAVEMIX_STAND_IN_REFUSE");
    if (refused && p.file == refused) return p.log = p.file + "(1): error: refused by the stand-in\n", 6;
    std::string real = "0";
    for (int i = 0; i < count; i++) {
        if (!strncmp(options[i], "-DREAL=", 7)) real = options[i] + 7;
    }
    p.image = "stand-in REAL=" + real + " " + p.file;
    return 0;
}
API nvrtcDestroyProgram(void** program) { return delete (Program*)*program, 0; }
API nvrtcGetProgramLogSize(void* program, size_t* size) { return *size = ((Program*)program)->log.size() + 1, 0; }
API nvrtcGetProgramLog(void* program, char* log) { return strcpy(log, ((Program*)program)->log.c_str()), 0; }
API nvrtcGetPTXSize(void* program, size_t* size) { return *size = ((Program*)program)->image.size() + 1, 0; }
API nvrtcGetPTX(void* program, char* image) { return strcpy(image, ((Program*)program)->image.c_str()), 0; }
API nvrtcGetCUBINSize(void* program, size_t* size) { return nvrtcGetPTXSize(program, size); }
API nvrtcGetCUBIN(void* program, char* image) { return nvrtcGetPTX(program, image); }

// ---- cuBLAS: matrices by columns, sums in f32.

namespace stand_in {

float get(const void* array, int type, size_t i) {
    if (type == 0) return ((const float*)array)[i];
    unsigned short bits = ((const unsigned short*)array)[i];
    return type == 2 ? half_to_float(bits) : __uint_as_float((unsigned)bits << 16);
}

void put(void* array, int type, size_t i, float x) {
    if (type == 0) {
        ((float*)array)[i] = x;
    } else if (type == 2) {
        ((unsigned short*)array)[i] = float_to_half(x);
    } else {
        unsigned bits = __float_as_uint(x);
        ((unsigned short*)array)[i] = x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
}

// The arguments of one product, as cuBLAS takes them.
struct Product {
    int transpose_a, transpose_b, m, n, k;
    float alpha, beta;
    const void* a; int type_a, lda;
    const void* b; int type_b, ldb;
    void* c; int type_c, ldc;
    bool tf32;
};

static size_t width(int type) { return type == 0 ? 4 : 2; }

static bool check(const char* what, const void* start, int type, int rows, int columns, int ld, size_t last) {
    if (ld < std::max(1, rows)) {
        fprintf(stderr, "stand-in: cuBLAS: %s has columns of %d, %d apart\n", what, rows, ld);
        return false;
    }
    return !rows || !columns || inside(what, start, (last + (size_t)(columns - 1) * ld + rows) * width(type));
}

// Row i of op(a) or column j of op(b), one after the other; k long each. TF32 keeps 10 bits of a
// fraction.
static std::vector<float> packed(const void* x, int type, int count, int k, bool along, int ld, bool tf32) {
    std::vector<float> out((size_t)count * k);
    for (int i = 0; i < count; i++) {
        for (int l = 0; l < k; l++) {
            float value = get(x, type, along ? l + (size_t)i * ld : i + (size_t)l * ld);
            if (tf32 && type == 0) value = __uint_as_float((__float_as_uint(value) + 0x1000) & 0xffffe000u);
            out[(size_t)i * k + l] = value;
        }
    }
    return out;
}

static void multiply(const Product& p) {
    std::vector<float> a = packed(p.a, p.type_a, p.m, p.k, p.transpose_a, p.lda, p.tf32);
    std::vector<float> b = packed(p.b, p.type_b, p.n, p.k, !p.transpose_b, p.ldb, p.tf32);
    for (int j = 0; j < p.n; j++) {
        for (int i = 0; i < p.m; i++) {
            float sum = 0;
            for (int l = 0; l < p.k; l++) sum += a[(size_t)i * p.k + l] * b[(size_t)j * p.k + l];
            size_t at = i + (size_t)j * p.ldc;
            put(p.c, p.type_c, at, p.alpha * sum + (p.beta != 0 ? p.beta * get(p.c, p.type_c, at) : 0));
        }
    }
}

struct Handle { void* stream; int mode; };

// The mode that keeps sums in f32 where C has 16 bits.
constexpr int NO_REDUCED_PRECISION = 16;

static int product(Handle* handle, Product p, long long step_a, long long step_b, long long step_c, int batch) {
    if (p.type_c != 0 && handle->mode != NO_REDUCED_PRECISION) {
        fprintf(stderr, "stand-in: cuBLAS: sums of 16-bit products may be in 16 bits\n");
        return 7;
    }
    size_t last = batch > 0 ? batch - 1 : 0;
    if (!check("a", p.a, p.type_a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda, last * step_a)
        || !check("b", p.b, p.type_b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb, last * step_b)
        || !check("c", p.c, p.type_c, p.m, p.n, p.ldc, last * step_c)) {
        return 7;
    }
    return submit(handle->stream, [=] {
        for (int i = 0; i < batch; i++) {
            Product one = p;
            one.a = (const char*)p.a + i * step_a * (long long)width(p.type_a);
            one.b = (const char*)p.b + i * step_b * (long long)width(p.type_b);
            one.c = (char*)p.c + i * step_c * (long long)width(p.type_c);
            multiply(one);
        }
        return 0;
    }) ? 13 : 0;
}

}  // namespace stand_in

// The number of cuBLAS's compute type for f32 sums of products of TF32.
constexpr int FAST_TF32 = 77;

API cublasCreate_v2(void** out) { return *out = new Handle{nullptr, 0}, 0; }
API cublasDestroy_v2(void* handle) { return delete (Handle*)handle, 0; }
API cublasSetStream_v2(void* handle, void* stream) { return ((Handle*)handle)->stream = stream, 0; }
API cublasSetWorkspace_v2(void*, void* start, size_t bytes) { return inside("cuBLAS's workspace", start, bytes) ? 0 : 7; }
API cublasSetMathMode(void* handle, int mode) { return ((Handle*)handle)->mode = mode, 0; }
API cublasGetProperty(int part, int* value) { return *value = part == 0 ? (int)setting("LIBRARIES", 13) : 0, 0; }
API cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int type_a, int lda, const void* b,
    int type_b, int ldb, const void* beta, void* c, int type_c, int ldc, int compute, int) {
    Product p = {ta, tb, m, n, k, *(const float*)alpha, *(const float*)beta, a, type_a, lda, b, type_b, ldb, c, type_c, ldc, compute == FAST_TF32};
    return product((Handle*)handle, p, 0, 0, 0, 1);
}
API cublasGemmStridedBatchedEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int type_a, int lda,
    long long step_a, const void* b, int type_b, int ldb, long long step_b, const void* beta, void* c, int type_c, int ldc, long long step_c,
    int batch, int compute, int) {
    if (batch == 1) {
        fprintf(stderr, "stand-in: cuBLAS: one product through the entry of many, which does not cut it along k\n");
        return 7;
    }
    Product p = {ta, tb, m, n, k, *(const float*)alpha, *(const float*)beta, a, type_a, lda, b, type_b, ldb, c, type_c, ldc, compute == FAST_TF32};
    return product((Handle*)handle, p, step_a, step_b, step_c, batch);
}

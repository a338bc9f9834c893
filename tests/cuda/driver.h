// What the stand-in's driver and its cuBLAS share.
#pragma once
#include <cstddef>
#include <functional>

#define API extern "C" __attribute__((visibility("default"))) int

namespace stand_in {

enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900 };

// Hands an operation to a stream, or to the graph that the stream is being captured into; 0 or a
// driver's error.
int submit(void* stream, std::function<int()> operation);

// The error of what failed, which stays; else that a stream is being captured, which forbids what
// may wait; else 0.
int state();

// The number in the environment variable WAVEMIX_STAND_IN_<name>.
size_t setting(const char* name, size_t otherwise);

// Whether these bytes lie in one living buffer; says so on stderr where they do not.
bool inside(const char* what, const void* start, size_t bytes);

// A number's value by cudaDataType: 0 f32, 2 f16, 14 bf16.
float get(const void* array, int type, size_t i);
void put(void* array, int type, size_t i, float x);

}  // namespace stand_in

API cuCtxSynchronize();
API cuStreamSynchronize(void* stream);

// What the stand-in's driver and its cuBLAS share.
#pragma once
#include <cstddef>
#include <functional>

#define API extern "C" __attribute__((visibility("default"))) int

namespace stand_in {

// Runs an operation, or keeps it for the graph that its stream is being captured into; 0 or a driver's error.
int submit(void* stream, std::function<int()> operation);

// Whether these bytes lie in one living buffer; says so on stderr where they do not.
bool inside(const char* what, const void* start, size_t bytes);

// A number's value by cudaDataType: 0 f32, 2 f16, 14 bf16.
float get(const void* array, int type, size_t i);
void put(void* array, int type, size_t i, float x);

}  // namespace stand_in

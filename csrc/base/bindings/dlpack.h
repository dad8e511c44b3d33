// The part of the DLPack 0.x ABI that capsules named "dltensor" carry (https://dmlc.github.io/dlpack).
#pragma once

#include <cstdint>

namespace bioner::dlpack {

enum DeviceType : std::int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBFloat = 4, kBool = 6 };

struct Device {
  std::int32_t type;
  std::int32_t id;
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct TensorView {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null where contiguous
  std::uint64_t byte_offset;
};

struct ManagedTensor {
  TensorView tensor;
  void* manager;
  void (*deleter)(ManagedTensor*);
};

}  // namespace bioner::dlpack

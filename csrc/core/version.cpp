namespace bioner {
extern const int kernel_library_version;
const int kernel_library_version = 1;
}  // namespace bioner

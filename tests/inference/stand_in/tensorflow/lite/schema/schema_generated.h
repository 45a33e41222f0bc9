// Stand-in of the file format's reader: knows its identifier.
#ifndef STAND_IN_SCHEMA_H
#define STAND_IN_SCHEMA_H

#include <cstring>

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

class Model {
public:
    unsigned version() const {
        return std::memcmp(reinterpret_cast<const char *>(this) + 4, "TFL3", 4) == 0 ? 3 : 0;
    }
};

inline const Model *GetModel(const void *file) { return static_cast<const Model *>(file); }

} // namespace tflite

#endif

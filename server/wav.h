// SPDX-License-Identifier: LGPL-2.1-or-later
//
// wav.h: a WAV file that is valid at any moment. One thread; may block on the disk.
//
// Plain PCM for one or two channels of 16 bits, plain IEEE_FLOAT for one or two of floats,
// WAVE_FORMAT_EXTENSIBLE otherwise. Room for a ds64
// chunk is reserved (as JUNK), so that a file beyond 4 GiB becomes RF64 (EBU Tech 3306) in place.

#pragma once

#include "os/descriptor.h"
#include "ringmix/abi.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringmix::server {

struct WavShape {
    std::uint32_t channels;
    std::uint32_t rate;
    std::uint32_t bits; // of a sample in the file: 16, 24 (packed) or 32
    std::array<std::uint8_t, abi::max_channels> chmap;
    bool floats = false; // of 32 bits; else integers

    std::uint32_t frame_bytes() const noexcept { return channels * (bits / 8); }
};

inline constexpr std::uint64_t wav_limit = 0xffffffff; // RIFF sizes from here on need RF64

// The speakers (dwChannelMask) of `shape`; 0, "not said", where its order is not that of WAV files.
std::uint32_t wav_channel_mask(const WavShape& shape) noexcept;

// Everything before the samples, for `data_bytes` bytes of them. The size depends on `shape` only.
std::vector<std::byte> wav_header(const WavShape& shape, std::uint64_t data_bytes, std::uint64_t limit = wav_limit);

class WavFile {
public:
    // Creates or empties the regular file `path`; `append`: goes on with one that was made like this. Throws
    // std::system_error naming it.
    WavFile(const std::string& path, const WavShape& shape, bool append = false, std::uint64_t limit = wav_limit);
    ~WavFile();

    // Appends samples. Returns how many bytes were taken (some may not be) or -errno; interrupted
    // frames are fine as long as their rest follows.
    std::int64_t write(std::span<const std::byte> samples) noexcept;
    // Makes the header say what is there, in whole frames. Returns 0 or -errno.
    int refresh() noexcept;
    // The same, and cuts off what follows the last whole frame.
    int finish() noexcept;

    std::uint64_t frames() const noexcept { return data_bytes_ / shape_.frame_bytes(); }

private:
    WavShape shape_;
    std::uint64_t limit_;
    std::size_t header_bytes_;
    std::uint64_t data_bytes_ = 0;
    os::Descriptor fd_;
};

} // namespace ringmix::server

// SPDX-License-Identifier: LGPL-2.1-or-later
//
// converted.h: what a program that plays at another rate than the device's asks for: its sound after each of its
// writings, and the conversion of that one sound (docs/rates.md), frame by frame, however it came about.

#pragma once

#include "client/rate_filters.h"
#include "core/rate_map.h"
#include "tests/sim/reference.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace ringmix::sim {

class Converted {
public:
    Converted(const Voice& voice, std::uint32_t rate, std::uint32_t device_rate);

    const core::RateMap& map() const noexcept { return map_; }

    // From frame `begin` of the program on the sound is what writing `version` has there: noise up to `end`, then
    // nothing. Versions rise.
    void write(std::uint32_t version, std::int64_t begin, std::int64_t end);
    // The writing is the last of its sound: what comes later knows nothing of it.
    void end_with(std::uint32_t version) { writings_[version].last = true; }
    // The writing has changed nothing.
    void forget(std::uint32_t version) { write(version, INT64_MAX, INT64_MAX); }

    // The samples of stream frame `frame`, made of the sound as it was after writing `version`: 32 bits a sample, as
    // values() has them, but not cut there.
    void values(std::uint32_t version, std::uint64_t frame, std::int64_t* out) const;

private:
    struct Writing {
        std::int64_t begin = INT64_MAX, end = INT64_MAX;
        bool last = false;
    };
    // The program's frames from base_ on, as the converter's arithmetic wants them: one plane for each channel.
    static constexpr std::int64_t window = 4096;
    void load(std::uint32_t version, std::int64_t first, std::int64_t end) const;
    void put(std::uint32_t version, std::int64_t position) const;

    Voice voice_;
    std::shared_ptr<const client::RateFilter> filter_;
    core::RateMap map_;
    std::vector<Writing> writings_; // by version
    std::size_t plane_;
    mutable std::vector<float> samples_;
    mutable std::vector<std::uint32_t> versions_; // that each frame is of; 0: silence
    mutable std::int64_t base_ = 0;
    mutable std::int64_t from_ = 0, loaded_ = 0; // the frames from ... up to ... are those of the sound after
    mutable std::uint32_t loaded_version_ = 0;   // this; 0: nothing is loaded
};

} // namespace ringmix::sim

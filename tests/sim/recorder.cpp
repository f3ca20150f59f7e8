// SPDX-License-Identifier: LGPL-2.1-or-later
//
// server/recorder.h for the simulator: what the virtual device plays is heard at once.

#include "server/recorder.h"

#include "core/format.h"
#include "tests/sim/ear.h"

namespace ringmix::server {

Recorder::Recorder(std::unique_ptr<OutputSink> sink, const Settings& settings)
    : sink_(std::move(sink)), frame_bytes_(settings.channels * core::sample_bytes(settings.format)),
      output_frame_bytes_(frame_bytes_), pack_(settings.pack), text_(settings.text)
{
}

Recorder::~Recorder() = default;

void Recorder::push(const std::byte* frames, std::uint64_t count) noexcept
{
    for (std::uint64_t i = 0; i < count; i++)
        sim::hear_next(frames + i * frame_bytes_);
}

void Recorder::push_silence(std::uint64_t count) noexcept { sim::hear_silence(count); }

bool Recorder::write() noexcept { return false; }

OutputState Recorder::state() const { return {text_}; }

std::unique_ptr<Recorder> make_recorder(const std::string& output, const DeviceShape& shape, bool)
{
    Recorder::Settings settings;
    settings.format = shape.format;
    settings.channels = shape.channels;
    settings.capacity = 0;
    settings.text = output;
    return std::make_unique<Recorder>(nullptr, settings);
}

} // namespace ringmix::server

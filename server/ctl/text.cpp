// SPDX-License-Identifier: LGPL-2.1-or-later
#include "commands.h"

#include "core/format.h"
#include "core/json.h"
#include "core/text.h"

#include <cmath>
#include <fmt/format.h>

namespace ringmix::ctl {

std::string quoted(std::string_view text)
{
    std::string out(6 * text.size() + 2, '\0'); // the longest escape is \u0000
    out.resize(core::json_string(out.data(), out.size(), text));
    return out;
}

std::string printable(std::string_view text)
{
    std::string out(4 * text.size(), '\0');
    out.resize(core::printable_text(out.data(), out.size(), text));
    return out;
}

std::string milliseconds(std::uint64_t frames, std::uint32_t rate)
{
    if (rate == 0)
        return "? ms";
    return fmt::format("{:.1f} ms", static_cast<double>(frames) * 1000 / rate);
}

std::string frames_text(std::uint64_t frames, std::uint32_t rate)
{
    return fmt::format("{} frames ({})", frames, milliseconds(frames, rate));
}

std::string bytes_text(std::uint64_t bytes)
{
    const auto size = static_cast<double>(bytes);
    if (bytes < 1024)
        return fmt::format("{} bytes", bytes);
    if (bytes < 1024 * 1024)
        return fmt::format("{:.1f} KiB", size / 1024);
    return fmt::format("{:.1f} MiB", size / (1024 * 1024));
}

std::string duration_text(std::uint64_t frames, std::uint32_t rate)
{
    if (rate == 0)
        return "?";
    const std::uint64_t seconds = frames / rate;
    return fmt::format("{}:{:02}:{:02}.{}", seconds / 3600, seconds / 60 % 60, seconds % 60, frames % rate * 10 / rate);
}

// In hundredths of a dB, which is what fixed point can mean; + 0.0 turns -0 into 0.
double gain_db(std::uint32_t gain)
{
    return std::round(2000 * std::log10(static_cast<double>(gain) / abi::unity_gain)) / 100 + 0.0;
}

std::string json_format(std::uint32_t format)
{
    return core::sample_bytes(format) == 0 ? "null" : quoted(core::format_name(format));
}

std::string_view format_or_dash(std::uint32_t format)
{
    return core::sample_bytes(format) == 0 ? "-" : core::format_name(format);
}

} // namespace ringmix::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ringmixctl status: the device, how far it has played, and what went wrong so far.
#include "commands.h"

#include "core/format.h"

#include <fmt/format.h>
#include <iterator>

namespace ringmix::ctl {
namespace {

std::string json_text(const protocol::Status& status)
{
    std::string out = "{";
    const auto add = [&](std::string_view key, const auto& value) {
        fmt::format_to(std::back_inserter(out), "{}\n  \"{}\": {}", out.size() == 1 ? "" : ",", key, value);
    };
    add("device", quoted(core::text_of(status.device)));
    add("state", quoted(core::text_of(status.state)));
    add("format", json_format(status.format));
    add("rate", status.rate);
    add("channels", status.channels);
    add("period_frames", status.period_frames);
    add("ring_frames", status.ring_frames);
    add("clip", quoted(core::clip_name(status.clip)));
    add("dither", quoted(core::dither_name(status.dither)));
    add("margin_frames", status.margin_frames);
    add("reach_frames", status.reach_frames);
    add("frames_played", status.frames_played);
    add("xruns", status.xruns);
    add("repairs", status.repairs);
    add("clients", status.clients);
    add("output", quoted(core::text_of(status.output)));
    add("output_frames", status.output_frames);
    add("output_lost_frames", status.output_lost_frames);
    add("arena_bytes", status.arena_bytes);
    add("arena_used_bytes", status.arena_used_bytes);
    add("server_pid", status.server_pid);
    add("realtime", status.realtime != 0);
    return out + "\n}\n";
}

std::string people_text(const protocol::Status& status, const std::string& socket)
{
    std::string out;
    const auto add = [&](std::string_view label, const std::string& value) {
        fmt::format_to(std::back_inserter(out), "{:<10}  {}\n", label, value);
    };
    add("device", printable(core::text_of(status.device)));
    add("state", printable(core::text_of(status.state)));
    if (status.rate == 0) { // no device is open
        add("server", fmt::format("pid {} on {}", status.server_pid, socket));
        return out;
    }
    add("format", fmt::format("{}, {} channel{}, {} Hz", format_or_dash(status.format), status.channels,
                              status.channels == 1 ? "" : "s", status.rate));
    add("period", frames_text(status.period_frames, status.rate));
    add("ring", frames_text(status.ring_frames, status.rate));
    add("clip", std::string(core::clip_name(status.clip)));
    add("dither", std::string(core::dither_name(status.dither)));
    add("margin", frames_text(status.margin_frames, status.rate));
    add("reach", frames_text(status.reach_frames, status.rate));
    add("played",
        fmt::format("{} frames ({})", status.frames_played, duration_text(status.frames_played, status.rate)));
    add("xruns", fmt::format("{}", status.xruns));
    add("repairs", fmt::format("{}", status.repairs));
    if (status.output[0] != '\0')
        add("output", fmt::format("{}: {} frames written, {} lost", printable(core::text_of(status.output)),
                                  status.output_frames, status.output_lost_frames));
    add("clients", fmt::format("{}", status.clients));
    add("lanes", fmt::format("{} of {} used", bytes_text(status.arena_used_bytes), bytes_text(status.arena_bytes)));
    add("engine", status.realtime != 0 ? "realtime" : "not realtime (SCHED_FIFO is not permitted)");
    add("server", fmt::format("pid {} on {}", status.server_pid, socket));
    return out;
}

} // namespace

std::string status(client::Connection& connection, bool json, Words)
{
    const auto answer = connection.ask<protocol::Status>(core::make_message<protocol::AskStatus>());
    return json ? json_text(answer) : people_text(answer, connection.path());
}

} // namespace ringmix::ctl

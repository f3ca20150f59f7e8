// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/options.h"

#include "core/format.h"
#include "os/paths.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <getopt.h>
#include <optional>
#include <string_view>

namespace ringmix::server {
namespace {

constexpr double autostarted_end_seconds = 5;
constexpr double most_idle_seconds = 1e6;

enum Key : int {
    key_device = 256,
    key_output,
    key_rate,
    key_channels,
    key_format,
    key_period,
    key_buffer,
    key_name,
    key_socket,
    key_socket_mode,
    key_idle,
    key_arena,
    key_clip,
    key_dither,
    key_log_level,
    key_autostarted,
    key_replace,
    key_help = 'h',
    key_version = 'V',
};

constexpr option long_options[] = {
    {"device", required_argument, nullptr, key_device},
    {"output", required_argument, nullptr, key_output},
    {"rate", required_argument, nullptr, key_rate},
    {"channels", required_argument, nullptr, key_channels},
    {"format", required_argument, nullptr, key_format},
    {"period", required_argument, nullptr, key_period},
    {"buffer", required_argument, nullptr, key_buffer},
    {"name", required_argument, nullptr, key_name},
    {"socket", required_argument, nullptr, key_socket},
    {"socket-mode", required_argument, nullptr, key_socket_mode},
    {"idle", required_argument, nullptr, key_idle},
    {"arena", required_argument, nullptr, key_arena},
    {"clip", required_argument, nullptr, key_clip},
    {"dither", required_argument, nullptr, key_dither},
    {"log-level", required_argument, nullptr, key_log_level},
    {"autostarted", no_argument, nullptr, key_autostarted},
    {"replace", no_argument, nullptr, key_replace},
    {"help", no_argument, nullptr, key_help},
    {"version", no_argument, nullptr, key_version},
    {nullptr, 0, nullptr, 0},
};

std::string_view option_name(int key)
{
    for (const option& known : long_options)
        if (known.name != nullptr && known.val == key)
            return known.name;
    return "?";
}

[[noreturn]] void refuse(int key, std::string_view value, std::string_view takes)
{
    throw UsageError(fmt::format("--{}: '{}' is not what it takes: {}", option_name(key), value, takes));
}

std::uint32_t whole_number(int key, std::string_view value, std::uint32_t least, std::uint32_t most, const char* unit)
{
    std::uint32_t number = 0;
    const char* const end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc{} || rest != end || number < least || number > most)
        refuse(key, value, fmt::format("a whole number from {} to {} ({})", least, most, unit));
    return number;
}

unsigned octal_mode(int key, std::string_view value)
{
    unsigned mode = 0;
    const char* const end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, mode, 8);
    if (error != std::errc{} || rest != end || mode > 0777)
        refuse(key, value, "an octal file mode from 0 to 0777, e.g. 0660");
    return mode;
}

double idle_time(int key, std::string_view value)
{
    if (value == "never")
        return -1;
    double seconds = 0;
    const char* const end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, seconds, std::chars_format::fixed);
    if (error != std::errc{} || rest != end || !std::isfinite(seconds) || std::signbit(seconds) ||
        seconds > most_idle_seconds)
        refuse(key, value, fmt::format("seconds from 0 to {:.0f}, or never", most_idle_seconds));
    return seconds;
}

std::string device_format_names()
{
    std::string names;
    for (std::uint32_t format = abi::format_u8; format <= abi::format_float; ++format)
        if (core::device_format(format))
            names += fmt::format("{}{}", names.empty() ? "" : ", ", core::format_name(format));
    return names;
}

std::uint32_t format_of(int key, std::string_view value)
{
    const std::uint32_t format = core::format_from_name(value);
    if (!core::device_format(format))
        refuse(key, value, "one of " + device_format_names());
    return format;
}

std::string filled(int key, std::string_view value, std::string_view takes)
{
    if (value.empty())
        refuse(key, value, takes);
    return std::string(value);
}

// One of two choices, 0 or 1, by its name.
std::uint32_t choice(int key, std::string_view value, std::string_view (*name)(std::uint32_t) noexcept)
{
    if (value != name(0) && value != name(1))
        refuse(key, value, fmt::format("{} or {}", name(0), name(1)));
    return value == name(1) ? 1 : 0;
}

// The options about the device; false for a key that is none of them.
bool take_device_option(DeviceWishes& wishes, int key, std::string_view value)
{
    switch (key) {
    case key_device:
        wishes.device = filled(key, value, "hw:..., virtual or auto");
        return true;
    case key_output:
        wishes.output = filled(key, value, "the name of a WAV file, or -");
        return true;
    case key_rate:
        wishes.rate = whole_number(key, value, 1000, 768000, "Hz");
        return true;
    case key_channels:
        wishes.channels = whole_number(key, value, 1, abi::max_channels, "channels");
        return true;
    case key_format:
        wishes.format = format_of(key, value);
        return true;
    case key_period:
        wishes.period_frames = whole_number(key, value, 1, abi::max_ring / 2, "frames");
        return true;
    case key_buffer:
        wishes.buffer_frames = whole_number(key, value, 2, abi::max_ring, "frames");
        return true;
    default:
        return false;
    }
}

void take_server_option(Options& options, std::optional<double>& idle, int key, std::string_view value)
{
    switch (key) {
    case key_name:
        options.name = value;
        if (!os::valid_instance_name(options.name))
            refuse(key, value, "1 to 64 letters, digits, '.', '_' or '-', not starting with a dot");
        break;
    case key_socket:
        options.socket = filled(key, value, "the path of a socket");
        break;
    case key_socket_mode:
        options.socket_mode = octal_mode(key, value);
        break;
    case key_idle:
        idle = idle_time(key, value);
        break;
    case key_arena:
        options.arena_bytes = std::uint64_t{whole_number(key, value, 1, 1024, "MiB")} << 20;
        break;
    case key_clip:
        options.clip = choice(key, value, core::clip_name);
        break;
    case key_dither:
        options.dither = choice(key, value, core::dither_name);
        break;
    case key_log_level:
        if (!log_level_from_name(value, options.log_level))
            refuse(key, value, "error, warning, info or debug");
        break;
    case key_autostarted:
        options.autostarted = true;
        break;
    case key_replace:
        options.replace = true;
        break;
    default:
        break;
    }
}

// What getopt_long() did not like.
[[noreturn]] void refuse_argument(int outcome, const char* argument)
{
    if (outcome == ':')
        throw UsageError(fmt::format("{}: a value is missing", argument));
    if (::optopt != 0 && std::strchr(argument, '=') != nullptr)
        throw UsageError(fmt::format("--{} takes no value, but '{}' gives one", option_name(::optopt), argument));
    throw UsageError(fmt::format("{}: unknown option (or short for several)", argument));
}

void check_together(const Options& options)
{
    const DeviceWishes& wishes = options.wishes;
    if (!wishes.output.empty() && options.idle_seconds >= 0)
        throw UsageError("--output: does not go with --idle, which would begin the recording anew");
    if (!wishes.output.empty() && wishes.device != "virtual")
        throw UsageError(
            fmt::format("--output: works with --device virtual only, and the device is '{}'", wishes.device));
    if (wishes.period_frames != 0 && wishes.buffer_frames != 0 && wishes.buffer_frames / 2 < wishes.period_frames)
        throw UsageError(fmt::format("--buffer: {} frames do not hold two periods of {} frames (--period)",
                                     wishes.buffer_frames, wishes.period_frames));
    if (options.dither != abi::dither_none && wishes.format == abi::format_float)
        throw UsageError(fmt::format("--dither: {} is for integer samples, not for --format {}",
                                     core::dither_name(options.dither), core::format_name(wishes.format)));
}

} // namespace

Options parse_options(int argc, char** argv)
{
    Options options;
    std::optional<double> idle;
    ::optind = 0; // GNU: start afresh, so that it can be called again
    ::opterr = 0;
    for (;;) {
        const int before = ::optind == 0 ? 1 : ::optind;
        ::optopt = 0;
        const int key = ::getopt_long(argc, argv, ":hV", long_options, nullptr);
        if (key == -1)
            break;
        if (key == '?' || key == ':')
            refuse_argument(key, argv[::optind > before ? ::optind - 1 : before]);
        if (key == key_help || key == key_version) {
            options.action = key == key_help ? Options::Action::help : Options::Action::version;
            return options;
        }
        const std::string_view value = ::optarg == nullptr ? "" : ::optarg;
        if (!take_device_option(options.wishes, key, value))
            take_server_option(options, idle, key, value);
    }
    if (::optind < argc)
        throw UsageError(fmt::format("too many arguments: '{}' (ringmixd takes options only)", argv[::optind]));
    options.idle_seconds = idle.value_or(options.autostarted ? 0 : -1);
    options.end_seconds = options.autostarted ? idle.value_or(autostarted_end_seconds) : -1;
    check_together(options);
    return options;
}

std::string usage_text()
{
    return fmt::format(R"(Usage: ringmixd [OPTION]...
Lets any number of ALSA programs play through one sound device. Runs in the foreground.

Device:
  --device SPEC        hw:...   a hardware playback device of ALSA
                       virtual  a device in software, with its own clock
                       auto     the first hardware playback device; virtual where
                                there is none at all (default)
  --output FILE        with --device virtual: write what the device plays to FILE as
                       WAV; - writes raw samples to standard output
  --rate HZ            sample rate, 1000 to 768000
  --channels N         number of channels, 1 to {channels}
  --format F           {formats}
  --period FRAMES      frames between two interrupts, 1 to {period}
  --buffer FRAMES      frames of the device's ring, 2 to {buffer}
                       (these five are wishes: the nearest that the device can do
                       is used, and said)
  --clip hard|soft     above full scale: cut (default), or bent from -6 dB on, so that
                       it is reached at +3.5 dB
  --dither none|tpdf   below the last bit: rounded (default), or with noise before
                       (triangular); not for {float}

Clients:
  --name NAME          name of this instance (default: default)
  --socket PATH        socket to listen on (default: $RINGMIX_SOCKET, else
                       $XDG_RUNTIME_DIR/ringmix/NAME.sock, for root
                       /run/ringmix/NAME.sock, else /tmp/ringmix-UID/NAME.sock)
  --socket-mode OCTAL  who may connect: mode of the socket (default: 0600)
  --arena MIB          most memory for the clients' buffers, 1 to 1024 MiB (default:
                       64 for every 48 kHz of the device's rate)
  --idle SECONDS       close the device when there were no clients for so long;
                       0 to {idle:.0f}, or never (default: never; a server that was
                       started by a client closes it at once, and ends 5 s later)

General:
  --replace            take the place of the server that serves this instance, with its
                       device and its clients, who notice nothing; what it was
                       started with stays (start as usual where there is none)
  --log-level LEVEL    error, warning, info (default) or debug
  -h, --help           show this help
  -V, --version        show the version

Exit status: 0 after SIGTERM or SIGINT, 1 on a failure, 2 on a usage error.
)",
                       fmt::arg("channels", abi::max_channels), fmt::arg("formats", device_format_names()),
                       fmt::arg("period", abi::max_ring / 2), fmt::arg("buffer", abi::max_ring),
                       fmt::arg("idle", most_idle_seconds), fmt::arg("float", core::format_name(abi::format_float)));
}

} // namespace ringmix::server

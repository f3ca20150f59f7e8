// SPDX-License-Identifier: LGPL-2.1-or-later
//
// protocol.h: every message on the server's socket (Unix domain, SOCK_SEQPACKET).
//
// One packet is one message: a MessageHeader and the struct that its type names, nothing more and
// nothing less. Strings are UTF-8, padded with zeros, always terminated. Fixed-width fields only.
//
//   client                                server
//   Hello (role_player)             -->
//                                   <--   Welcome + descriptors: board, arena, device, silence (SCM_RIGHTS)
//   Configure (at hw_params)        -->
//                                   <--   Configured: the lane
//   Release (at hw_free)            -->
//                                   <--   Done
//   close()                         -->   the slot is freed
//
//   Hello (role_tool)               -->
//                                   <--   Welcome without descriptors, slot = no_slot
//   AskStatus                       -->
//                                   <--   Status
//   SetGain                         -->
//                                   <--   Done: the number of clients that it was for
//   AskClients                      -->
//                                   <--   ClientInfo, one per client, then Done
//
// Each request is answered by the message shown or by Error. A server that closes without an
// answer has died. Wrong sizes, unknown types and other major versions are answered by Error and
// a closed connection.
//
//   Hello (role_successor, same user) -->
//                                   <--   Handover + descriptors, then a HandoverSlot + socket for each player
//   Ready                           -->
//                                   <--   Commit; the server ends
//
// Adopt and its answer are reserved: a client of a dead server hands the
// device's descriptor, the arena and the board to a new one, which goes on with the same stream.

#pragma once

#include "ringmix/abi.h"

#include <cstdint>
#include <type_traits>

namespace ringmix::protocol {

inline constexpr std::uint32_t magic = 0x584d4e52; // "RNMX"
inline constexpr std::uint32_t major_version = 1;  // other major: refused with Error, EPROTO
inline constexpr std::uint32_t minor_version = 0;
inline constexpr std::uint32_t no_slot = 0xffffffff;
inline constexpr std::uint32_t name_bytes = 64;
inline constexpr std::uint32_t text_bytes = 256;
inline constexpr std::uint32_t max_message_bytes = 1024;
// Board, arena, device, and a timer (timerfd) that expires when the engine has been silent for too long; in this order.
inline constexpr unsigned welcome_descriptors = 4;

// What a server that a program has started says on standard error: a line that begins so when it is ready;
// or, if it cannot start, a line of an errno and then one for people.
inline constexpr char start_ready[] = "ringmixd: ready: ";
inline constexpr char start_errno[] = "ringmixd: errno: ";

// Message types; the values are part of the protocol.
inline constexpr std::uint32_t type_hello = 1;
inline constexpr std::uint32_t type_welcome = 2;
inline constexpr std::uint32_t type_configure = 3;
inline constexpr std::uint32_t type_configured = 4;
inline constexpr std::uint32_t type_release = 5;
inline constexpr std::uint32_t type_done = 6;
inline constexpr std::uint32_t type_error = 7;
inline constexpr std::uint32_t type_ask_status = 8;
inline constexpr std::uint32_t type_status = 9;
inline constexpr std::uint32_t type_ask_clients = 10;
inline constexpr std::uint32_t type_client_info = 11;
inline constexpr std::uint32_t type_set_gain = 13;
inline constexpr std::uint32_t type_adopt = 12; // reserved for descriptors handed to a new server
inline constexpr std::uint32_t type_handover = 14;
inline constexpr std::uint32_t type_handover_slot = 15;
inline constexpr std::uint32_t type_ready = 16;
inline constexpr std::uint32_t type_commit = 17;

inline constexpr std::uint32_t role_player = 1;
inline constexpr std::uint32_t role_tool = 2;
inline constexpr std::uint32_t role_successor = 3; // a server that is to take this one's place

struct MessageHeader {
    std::uint32_t magic;
    std::uint16_t major;
    std::uint16_t minor;
    std::uint32_t type;
    std::uint32_t bytes; // of the whole packet, header included
};

struct Hello {
    static constexpr std::uint32_t type = type_hello;
    MessageHeader header;
    std::uint32_t role;
    std::uint32_t pid;  // as the client sees itself; the socket's credentials win where they know
    std::uint32_t gain; // fixed point, abi::unity_gain = 0 dB
    std::uint32_t reserved;
    char name[name_bytes];
};

struct Welcome {
    static constexpr std::uint32_t type = type_welcome;
    MessageHeader header;
    std::uint32_t slot;
    std::uint32_t abi_major;
    std::uint32_t abi_minor;
    std::uint32_t server_pid;
    std::uint64_t board_bytes;
    // Which device the instance plays to: "virtual" or "hw-CARDID-DEVICE-SUBDEVICE"; empty while it is closed
    // (tools only: for a player it is opened).
    char device[name_bytes];
};

// Asks for a lane. The stream must be idle; an old lane of the slot is given back first.
struct Configure {
    static constexpr std::uint32_t type = type_configure;
    MessageHeader header;
    std::uint32_t format; // abi::format_*
    std::uint32_t channels;
    std::uint64_t lane_frames;
    std::uint8_t map[abi::max_channels]; // byte d: lane channel for device channel d, or no_channel
    // For lists, where the lane is made of what the program plays; 0: it is that.
    std::uint32_t program_format; // abi::format_*
    std::uint32_t program_rate;
    std::uint32_t latency_frames; // of the conversion, in frames of the program
    std::uint32_t program_channels;
};

struct Configured {
    static constexpr std::uint32_t type = type_configured;
    MessageHeader header;
    std::uint64_t lane_offset;
    std::uint64_t lane_frames;
};

struct Release { // gives the lane back
    static constexpr std::uint32_t type = type_release;
    MessageHeader header;
};

struct Done {
    static constexpr std::uint32_t type = type_done;
    MessageHeader header;
    std::uint32_t count; // of ClientInfo sent before it
    std::uint32_t reserved;
};

struct Error {
    static constexpr std::uint32_t type = type_error;
    MessageHeader header;
    std::int32_t error; // a positive errno, Linux's x86 numbers
    std::uint32_t reserved;
    char text[text_bytes]; // what failed, why, what to do
};

struct AskStatus {
    static constexpr std::uint32_t type = type_ask_status;
    MessageHeader header;
};

struct Status {
    static constexpr std::uint32_t type = type_status;
    MessageHeader header;
    char device[text_bytes];
    char state[name_bytes];  // "running", "closed" (idle), "failed"
    char output[text_bytes]; // what --output does, in words; empty without --output
    std::uint32_t format;
    std::uint32_t rate;
    std::uint32_t channels;
    std::uint32_t period_frames;
    std::uint32_t ring_frames;
    std::uint32_t margin_frames;
    std::uint32_t reach_frames;
    std::uint32_t clients;
    std::uint32_t server_pid;
    std::uint32_t realtime; // 1: the engine runs under SCHED_FIFO
    std::uint32_t clip;     // abi::clip_*
    std::uint32_t dither;   // abi::dither_*
    std::uint64_t frames_played;
    std::uint64_t xruns;
    std::uint64_t output_frames;      // written to --output
    std::uint64_t output_lost_frames; // that --output could not take
    std::uint64_t arena_bytes;
    std::uint64_t arena_used_bytes;
    std::uint64_t repairs; // times that the engine finished a stopped or dead client's work
};

struct AskClients {
    static constexpr std::uint32_t type = type_ask_clients;
    MessageHeader header;
};

struct ClientInfo {
    static constexpr std::uint32_t type = type_client_info;
    MessageHeader header;
    std::uint32_t id; // its slot
    std::uint32_t pid;
    std::uint32_t uid;
    std::uint32_t state;  // abi::stream_*
    std::uint32_t format; // format, rate and all frames are the program's
    std::uint32_t rate;
    std::uint32_t channels;
    std::uint32_t muted;
    std::uint32_t gain;       // fixed point
    std::uint32_t slot_state; // abi::slot_*
    std::uint64_t queued_frames;
    std::uint64_t lane_frames;
    std::uint64_t underruns;
    std::uint64_t late_frames;
    std::uint32_t converted;      // 1: to the device's rate
    std::uint32_t latency_frames; // of the conversion
    char name[name_bytes];
};

// Changes the gain of one client, or of all that have a name. Heard within a period, in a ramp.
inline constexpr std::uint32_t gain_absolute = 1; // to `millibel`
inline constexpr std::uint32_t gain_relative = 2; // by `millibel`
inline constexpr std::uint32_t gain_mute = 3;
inline constexpr std::uint32_t gain_unmute = 4;
inline constexpr std::int32_t millibel_silence = -0x80000000LL; // minus infinity dB
inline constexpr std::int32_t max_millibel = 1200;

struct SetGain {
    static constexpr std::uint32_t type = type_set_gain;
    MessageHeader header;
    std::uint32_t id;   // a slot, or no_slot: by name
    std::uint32_t what; // gain_*
    std::int32_t millibel;
    std::uint32_t reserved;
    char name[name_bytes];
};

// What a server has, for its successor. With the descriptors board, arena, device, silence and listener; with the
// listener alone while the device is closed.
struct Handover {
    static constexpr std::uint32_t type = type_handover;
    MessageHeader header;
    std::uint32_t slots;         // HandoverSlots that follow
    std::uint32_t owns_listener; // 1: the socket's file and lock are the server's; 0: a service manager's
    abi::Geometry geometry;      // rate 0: the device is closed
    std::uint64_t board_bytes;
    std::int64_t idle_ms; // until the device is closed, and the server ends, without clients; -1: never
    std::int64_t end_ms;
    char device[text_bytes]; // for people
    char identity[name_bytes];
    char output[text_bytes]; // path of --output's WAV file
};

// A slot in use. With the player's socket, unless its player has gone.
struct HandoverSlot {
    static constexpr std::uint32_t type = type_handover_slot;
    MessageHeader header;
    std::uint32_t slot;
    std::uint32_t connected;
    std::uint32_t pid;
    std::uint32_t uid;
    std::uint32_t gain;
    std::uint32_t muted;
    std::uint32_t known_to_engine;
    std::uint32_t program_format;
    std::uint32_t program_rate;
    std::uint32_t program_channels;
    std::uint32_t latency_frames;
    std::uint32_t reserved;
    std::uint64_t lane_offset;
    std::uint64_t lane_bytes; // 0: it has none
    char name[name_bytes];
};

// The successor has built everything, and waits for the word.
struct Ready {
    static constexpr std::uint32_t type = type_ready;
    MessageHeader header;
};

// The engine has stopped, here; the instance is the successor's from now on.
struct Commit {
    static constexpr std::uint32_t type = type_commit;
    MessageHeader header;
    std::uint64_t frame; // where the device was, as in abi::SyncEntry
    std::uint64_t hw_ptr;
    std::int64_t time_ns;
    std::uint64_t generation;
    std::uint32_t state; // abi::device_*
    std::uint32_t reserved;
    std::int64_t start_ns; // of the virtual device's clock
    std::uint64_t mixed_to;
    std::uint64_t xruns;
    std::uint64_t repairs;
    std::uint64_t open;                    // slots (a bit each) whose stream's start is in the event log
    std::uint32_t serials[abi::max_slots]; // of the newest stream that the engine knows of
};

static_assert(sizeof(MessageHeader) == 16);
static_assert(sizeof(Hello) == 96 && offsetof(Hello, name) == 32);
static_assert(sizeof(Welcome) == 104 && offsetof(Welcome, device) == 40);
static_assert(sizeof(Configure) == 80 && offsetof(Configure, lane_frames) == 24);
static_assert(sizeof(Configured) == 32 && sizeof(Release) == 16 && sizeof(Done) == 24);
static_assert(sizeof(Error) == 280 && offsetof(Error, text) == 24);
static_assert(sizeof(Status) == 16 + 576 + 48 + 56 && offsetof(Status, frames_played) == 640);
static_assert(sizeof(ClientInfo) == 160 && offsetof(ClientInfo, queued_frames) == 56);
static_assert(sizeof(SetGain) == 96 && offsetof(SetGain, name) == 32);
static_assert(sizeof(Status) <= max_message_bytes && sizeof(Handover) <= max_message_bytes);
static_assert(sizeof(Handover) == 736 && offsetof(Handover, device) == 160);
static_assert(sizeof(HandoverSlot) == 144 && sizeof(Ready) == 16 && sizeof(Commit) == 352);
static_assert(std::is_trivially_copyable_v<Hello> && std::is_trivially_copyable_v<Status>);

} // namespace ringmix::protocol

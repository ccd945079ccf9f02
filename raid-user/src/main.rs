//! The `raid` tool. Everything it does is in the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    raid_user::cmd::main()
}

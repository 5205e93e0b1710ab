//! rfid-reader

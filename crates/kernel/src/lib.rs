//! What Clearway puts into the kernel.

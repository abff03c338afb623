//! Dense ids: a row of one profile's table, meaningless in any other profile.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The row of the table, for indexing.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The id of row `index`; a table never holds more than 2^32 rows.
            pub fn from_index(index: usize) -> Self {
                $name(u32::try_from(index).expect("a table holds fewer than 2^32 rows"))
            }
        }
    };
}

id!(
    /// A row of the string table; `StringId(0)` is the empty string.
    StringId
);
id!(
    /// A file (or kernel, or JIT memory) that code is in.
    ImageId
);
id!(
    /// A function's name.
    FunctionId
);
id!(
    /// A code address that occurred in a stack, or a bare name.
    FrameId
);
id!(
    /// A stack as (parent, frame); `StackId(0)` is the empty stack.
    StackId
);
id!(
    /// A thread.
    ThreadId
);
id!(
    /// A process (one program run: an exec begins a new one).
    ProcessId
);
id!(
    /// What was counted: cycles, CPU time, ...
    EventId
);

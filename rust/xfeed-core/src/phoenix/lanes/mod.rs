//! Sixteen `f32` at once, in whatever registers the machine has; only `x86` below talks to the
//! processor.
//!
//! The kernel is written once over [`Lanes`]; [`lanes_fn`] compiles it for each
//! [`Level`](crate::simd::Level) and picks the copy when the program runs. A level changes the
//! last bits of a result (the portable one has no fused multiply-add on x86-64); within a level
//! a row is computed by the same instructions wherever it stands.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

/// Numbers in one step of the kernel.
pub(super) const LANES: usize = 16;

/// Sixteen consecutive numbers in memory.
pub(super) type Line = [f32; LANES];

/// Sixteen numbers in registers.
///
/// Methods must be inlined into a function that was compiled for the level, which only
/// [`lanes_fn`] arranges; nothing else may name the implementations for wider registers.
/// [`Lanes::max`] and [`Lanes::min`] give back `other` when one side is not a number.
pub(super) trait Lanes: Copy {
    /// Sixteen times the same number.
    fn splat(value: f32) -> Self;
    /// Reads from memory.
    fn load(from: &Line) -> Self;
    /// Writes to memory.
    fn store(self, to: &mut Line);
    /// `self * factor + addend`, rounded once where the machine can.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Sum.
    fn add(self, other: Self) -> Self;
    /// Difference.
    fn sub(self, other: Self) -> Self;
    /// Product.
    fn mul(self, other: Self) -> Self;
    /// Quotient.
    fn div(self, other: Self) -> Self;
    /// The larger one.
    fn max(self, other: Self) -> Self;
    /// The smaller one.
    fn min(self, other: Self) -> Self;
    /// Without the sign.
    fn abs(self) -> Self;
    /// The low nine bits of each number, moved to where the sign and the exponent are.
    fn low_bits_as_exponent(self) -> Self;

    /// The sixteen numbers.
    #[inline(always)]
    fn to_line(self) -> Line {
        let mut line = [0.0; LANES];
        self.store(&mut line);
        line
    }

    /// Sum of the sixteen, always in the same order.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut line = self.to_line();
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                line[i] += line[i + half];
            }
        }
        line[0]
    }

    /// The largest of the sixteen.
    #[inline(always)]
    fn largest(self) -> f32 {
        let mut line = self.to_line();
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                line[i] = if line[i] > line[i + half] {
                    line[i]
                } else {
                    line[i + half]
                };
            }
        }
        line[0]
    }
}

/// Sixteen pairs of bfloat16, the first of a pair in the low half.
pub(super) type Pairs = [u32; LANES];

/// Sums of products of bfloat16 pairs.
pub(super) trait PairSums {
    /// Where sums are kept.
    type Sums: Lanes;
    /// Adds the products of the pair `a` with each of sixteen pairs.
    fn add_products(sums: Self::Sums, a: u32, b: &Pairs) -> Self::Sums;
}

/// Widens both sides to `f32`, for machines without an instruction for it.
pub(super) struct Widened<L>(std::marker::PhantomData<L>);

impl<L: Lanes> PairSums for Widened<L> {
    type Sums = L;

    #[inline(always)]
    fn add_products(sums: L, a: u32, b: &Pairs) -> L {
        let low = L::load(&b.map(|pair| f32::from_bits(pair << 16)));
        let high = L::load(&b.map(|pair| f32::from_bits(pair & 0xffff_0000)));
        let sums = L::splat(f32::from_bits(a << 16)).mul_add(low, sums);
        L::splat(f32::from_bits(a & 0xffff_0000)).mul_add(high, sums)
    }
}

/// Sixteen times four signed bytes, the first of four in the lowest one.
pub(super) type Quads = [u32; LANES];

/// Whole sums of products of bytes.
pub(super) trait QuadSums {
    /// Where sums are kept.
    type Sums: Copy;
    /// Nothing yet.
    fn zero() -> Self::Sums;
    /// Adds the products of four unsigned bytes with each of sixteen times four signed ones.
    fn add_products(sums: Self::Sums, a: u32, b: &Quads) -> Self::Sums;
    /// The sixteen sums.
    fn to_array(sums: Self::Sums) -> [i32; LANES];
}

/// Byte by byte, for machines without an instruction for it.
pub(super) struct Bytewise;

impl QuadSums for Bytewise {
    type Sums = [i32; LANES];

    #[inline(always)]
    fn zero() -> Self::Sums {
        [0; LANES]
    }
    #[inline(always)]
    fn add_products(mut sums: Self::Sums, a: u32, b: &Quads) -> Self::Sums {
        for byte in 0..4 {
            let a = ((a >> (8 * byte)) & 0xff).cast_signed();
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * ((b << (24 - 8 * byte)).cast_signed() >> 24);
            }
        }
        sums
    }
    #[inline(always)]
    fn to_array(sums: Self::Sums) -> [i32; LANES] {
        sums
    }
}

/// Plain arrays, for every machine.
#[derive(Clone, Copy)]
pub(super) struct Portable(Line);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    fn load(from: &Line) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut Line) {
        *to = self.0;
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        Self(std::array::from_fn(|i| {
            if FUSED {
                self.0[i].mul_add(factor.0[i], addend.0[i])
            } else {
                self.0[i] * factor.0[i] + addend.0[i]
            }
        }))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }
    #[inline(always)]
    fn low_bits_as_exponent(self) -> Self {
        Self(self.0.map(|value| f32::from_bits(value.to_bits() << 23)))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Avx512Bf16, Avx512Vnni};

/// Defines a function over [`Lanes`] that is compiled for each level and dispatched by
/// [`level`](crate::simd::level).
///
/// Written `fn name<L; ROWS, VECTORS>(...)`: `L` is the lanes, `ROWS x VECTORS` the tile of a
/// product whose sums fit the registers. Everything the body calls must be `#[inline(always)]`.
macro_rules! lanes_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$L:ident; $R:ident, $V:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$L: $crate::phoenix::lanes::Lanes, const $R: usize, const $V: usize>(
                $($arg: $ty),*
            ) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn wide($($arg: $ty),*) $(-> $ret)? {
                body::<$crate::phoenix::lanes::Avx512, 8, 2>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn middle($($arg: $ty),*) $(-> $ret)? {
                body::<$crate::phoenix::lanes::Avx2, 4, 1>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: `level` found these instructions on this machine.
                #[expect(unsafe_code, reason = "calling a copy for wider registers")]
                $crate::simd::Level::Avx512 => return unsafe { wide($($arg),*) },
                // SAFETY: as above.
                #[expect(unsafe_code, reason = "calling a copy for wider registers")]
                $crate::simd::Level::Avx2 => return unsafe { middle($($arg),*) },
                $crate::simd::Level::Portable => {}
            }
            body::<$crate::phoenix::lanes::Portable, 2, 1>($($arg),*)
        }
    };
}

pub(super) use lanes_fn;

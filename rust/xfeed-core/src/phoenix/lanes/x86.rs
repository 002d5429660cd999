//! Registers of x86-64: the intrinsics of the kernel.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

use std::arch::x86_64::{
    __m256, __m512, __m512bh, __m512i, _mm256_add_ps, _mm256_andnot_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps,
    _mm256_sub_ps, _mm512_abs_ps, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_div_ps, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
    _mm512_sub_ps,
};

use super::{LANES, Lanes, Line, PairSums, Pairs, QuadSums, Quads};

/// One register of AVX-512.
#[derive(Clone, Copy)]
pub(in crate::phoenix) struct Avx512(__m512);

/// AVX-512 with products of bfloat16 pairs.
pub(in crate::phoenix) struct Avx512Bf16;

/// Two registers of AVX2.
#[derive(Clone, Copy)]
pub(in crate::phoenix) struct Avx2(__m256, __m256);

/// An expression of intrinsics inside a method of [`Lanes`].
macro_rules! intrinsics {
    ($body:expr) => {{
        // SAFETY: `lanes_fn` reaches these methods only on machines that have the
        // instructions; references to sixteen numbers are valid for unaligned access.
        #[expect(unsafe_code, reason = "vector instructions")]
        unsafe {
            $body
        }
    }};
}

impl Lanes for Avx512 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(intrinsics!(_mm512_set1_ps(value)))
    }
    #[inline(always)]
    fn load(from: &Line) -> Self {
        Self(intrinsics!(_mm512_loadu_ps(from.as_ptr())))
    }
    #[inline(always)]
    fn store(self, to: &mut Line) {
        intrinsics!(_mm512_storeu_ps(to.as_mut_ptr(), self.0));
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(intrinsics!(_mm512_fmadd_ps(self.0, factor.0, addend.0)))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_add_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_sub_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_mul_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_div_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_max_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_min_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(intrinsics!(_mm512_abs_ps(self.0)))
    }
    #[inline(always)]
    fn low_bits_as_exponent(self) -> Self {
        Self(intrinsics!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(
            _mm512_castps_si512(self.0)
        ))))
    }
}

impl PairSums for Avx512Bf16 {
    type Sums = Avx512;

    #[inline(always)]
    fn add_products(sums: Avx512, a: u32, b: &Pairs) -> Avx512 {
        Avx512(intrinsics!(_mm512_dpbf16_ps(
            sums.0,
            std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(a.cast_signed())),
            std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.as_ptr().cast())),
        )))
    }
}

/// AVX-512 with products of bytes.
pub(in crate::phoenix) struct Avx512Vnni;

impl QuadSums for Avx512Vnni {
    type Sums = __m512i;

    #[inline(always)]
    fn zero() -> __m512i {
        intrinsics!(_mm512_setzero_si512())
    }
    #[inline(always)]
    fn add_products(sums: __m512i, a: u32, b: &Quads) -> __m512i {
        intrinsics!(_mm512_dpbusd_epi32(
            sums,
            _mm512_set1_epi32(a.cast_signed()),
            _mm512_loadu_si512(b.as_ptr().cast()),
        ))
    }
    #[inline(always)]
    fn to_array(sums: __m512i) -> [i32; LANES] {
        let mut array = [0; LANES];
        intrinsics!(_mm512_storeu_si512(array.as_mut_ptr().cast(), sums));
        array
    }
}

/// Applies an intrinsic of eight numbers to both halves.
macro_rules! halves {
    ($f:ident, $($arg:ident),+) => {
        Self(intrinsics!($f($($arg.0),+)), intrinsics!($f($($arg.1),+)))
    };
}

impl Lanes for Avx2 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        let half = intrinsics!(_mm256_set1_ps(value));
        Self(half, half)
    }
    #[inline(always)]
    fn load(from: &Line) -> Self {
        Self(
            intrinsics!(_mm256_loadu_ps(from.as_ptr())),
            intrinsics!(_mm256_loadu_ps(from.as_ptr().add(8))),
        )
    }
    #[inline(always)]
    fn store(self, to: &mut Line) {
        intrinsics!(_mm256_storeu_ps(to.as_mut_ptr(), self.0));
        intrinsics!(_mm256_storeu_ps(to.as_mut_ptr().add(8), self.1));
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        halves!(_mm256_fmadd_ps, self, factor, addend)
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        halves!(_mm256_add_ps, self, other)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        halves!(_mm256_sub_ps, self, other)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        halves!(_mm256_mul_ps, self, other)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        halves!(_mm256_div_ps, self, other)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        halves!(_mm256_max_ps, self, other)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        halves!(_mm256_min_ps, self, other)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        let sign = Self::splat(-0.0);
        halves!(_mm256_andnot_ps, sign, self)
    }
    #[inline(always)]
    fn low_bits_as_exponent(self) -> Self {
        let bits = intrinsics!((_mm256_castps_si256(self.0), _mm256_castps_si256(self.1)));
        Self(
            intrinsics!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits.0))),
            intrinsics!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits.1))),
        )
    }
}

//! What must not compile: the tenant boundary is a type.

#[test]
fn the_boundary_holds_at_compile_time() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}

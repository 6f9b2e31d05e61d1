//! One test for every bug that was fixed, named by what went wrong.

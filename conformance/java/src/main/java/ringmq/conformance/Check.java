package ringmq.conformance;

import java.util.Objects;
import java.util.function.BooleanSupplier;

/**
 * Assertions that stop a scenario with one sentence saying what was expected and what was found.
 */
final class Check {
    private Check() {
    }

    static final class Failed extends RuntimeException {
        Failed(String what) {
            super(what);
        }
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new Failed(what);
        }
    }

    static void same(Object expected, Object found, String what) {
        that(Objects.equals(expected, found), what + ": expected " + expected + ", found " + found);
    }

    static void between(long low, long high, long found, String what) {
        that(low <= found && found <= high, what + ": expected " + low + ".." + high + ", found "
            + found);
    }

    /**
     * Looks every 20 ms until the condition holds; the bound is generous, waiting is not part of a
     * pass.
     */
    static void within(long limitMs, String what, BooleanSupplier holds)
        throws InterruptedException {
        long end = System.nanoTime() + limitMs * 1_000_000L;
        while (!holds.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new Failed("not within " + limitMs + " ms: " + what);
            }
            Thread.sleep(20);
        }
    }
}

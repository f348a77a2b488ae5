import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.rocketmq.filter.SqlFilter;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;

/**
 * Asks Apache RocketMQ's own SqlFilter what it says of expressions and properties, a fixed list and
 * seeded random ones, and prints the table that tests/it/apache_verdicts.rs compares with. The
 * command is in the table's first lines.
 */
public final class ApacheVerdicts {
    private static final long SEED = 20_261_121L;
    private static final int RANDOM = 700;

    /** Values of the properties in random messages. */
    private static final String[] VALUES = {
        "1", "2", "10", "-1", "+1", "0", "00", "1.5", "1.0", "abc", "ab", "b", "it's", "true", "TRUE",
        "tRuE", "false", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "2147483648", "1e3", "1E400", " 1 ", "\u00011\t", "0x10", "0x1p3", "0x.8p-1074", "NaN",
        "-NaN", "Infinity", "-Infinity", "inf", "1f", "1d", "1L", "-0.0", "\u0663", "\uff11",
        "\u00e4\u20ac\ud83d\ude00", "null", "4.9E-324", "5.", ".5", ".", "-", "1_0",
    };

    private static final String[] NAMES = {"a", "b", "c", "d"};

    /** Whole expressions; every rule of the grammar and every way of comparing is in one of them. */
    private static final String[] FIXED = {
        // truth values, properties alone, NOT
        "TRUE", "FALSE", "NULL", "true", "a", "missing", "NOT a", "NOT missing", "NOT NOT a",
        "NOT TRUE", "NOT NULL", "a AND b", "a OR missing", "NOT a = 1", "NOT (a = 1)",
        "NOT missing = 1", "NOT (missing = 1)", "(a)", "((a = 1))", "+a", "+(a = 1)", "-a", "-1",
        "NOT -a", "-(a = 1)", "-a IS NULL", "-1 IS NULL", "-'x' IS NULL", "NOT 1", "NOT 'x'", "1",
        "'x'", "1 AND TRUE", "TRUE AND 1", "'x' OR a", "(1)", "(TRUE)", "- - 1 = 1", "+ + + a = 1",
        // equality
        "a = 1", "a = -1", "a = +1", "a = 1L", "a = 1.5", "a = 'abc'", "a = '1'", "a = TRUE",
        "a = FALSE", "TRUE = a", "FALSE = a", "NOT (TRUE = a)", "TRUE = a OR TRUE", "1 = a",
        "1L = a", "1.5 = a", "'abc' = a", "a = b", "a = missing", "missing = a", "missing = missing",
        "a = NULL", "NULL = a", "a <> NULL", "1 = 1", "1 = 1.0E0", "1 = '1'", "'1' = 1", "1 = 2",
        "1 = TRUE", "TRUE = 1", "TRUE = 'x'", "'x' = TRUE", "'true' = TRUE", "TRUE = TRUE",
        "TRUE = FALSE", "TRUE <> FALSE", "(a = 1) = TRUE", "TRUE = (a = 1)", "(a = 1) = (b = 1)",
        "(a = 1) = b", "b = (a = 1)", "(a = 1) = 1", "1 = (a = 1)", "(a = 1) = 'true'",
        "(missing = 1) = (missing = 2)", "a <> 1", "a <> 'abc'", "a <> missing", "missing <> 1",
        "a <> b", "a != 1", "a == 1", "a = 1 = TRUE", "a = 1 = TRUE = TRUE", "a = b = c",
        "a = 2147483647", "a = 2147483648", "a = 9223372036854775807", "a = 9223372036854775808",
        "a = -9223372036854775808", "a = -9223372036854775807", "a = 0", "a = 00", "a = 0.0",
        "a = 0.5", "a = 5.", "a = .5", "a = 5.E1", "a = 1E400", "a = 1E-400", "a = 4.9E-324",
        "a = 1.7976931348623157E308", "a = 1E3", "a = 1e3", "a = 1e+3", "a = 1e-3", "a = 1E", "a = 0L",
        "a = 1l", "a = 07", "a = 00.5", "a = 0x10", "a = 1f",
        // null
        "a IS NULL", "a IS NOT NULL", "missing IS NULL", "missing IS NOT NULL", "NULL IS NULL",
        "1 IS NULL", "'x' IS NOT NULL", "TRUE IS NULL", "(a = 1) IS NULL", "a = 1 IS NULL",
        "(missing = 1) IS NULL", "a IS", "a IS NOT", "a IS 1", "a IS NOT 1", "a IS TRUE",
        "a IS NULL IS NULL", "a IS NULL = FALSE", "NOT a IS NULL", "NOT (a IS NULL)",
        "(a > 'x') IS NULL", "a IS NULL AND b = 1", "a IS NOT NULL AND b = 1",
        // order
        "a > 1", "a >= 1", "a < 1", "a <= 1", "a > -1", "a > 1.5", "a >= 1L", "1 > a", "1 >= a",
        "1 < a", "1 <= a", "a > b", "a >= b", "a < b", "a <= b", "a > missing", "missing > a",
        "a > 'x'", "'x' > a", "a > '1'", "a > TRUE", "TRUE > a", "a > NULL", "NULL > a", "a > (b = 1)",
        "(b = 1) > a", "a > b > c", "a > (b)", "a > -b", "-b > a", "2 > 1", "1 > 2", "1.5 > 1",
        "a > - - 1", "a > -1.5", "a > b = TRUE", "a = b > c", "a > 9223372036854775807",
        "a > 2147483648", "2147483648 > a", "9223372036854775807 > 1.5", "1.5 > 9223372036854775807",
        "1 < 2147483648", "2147483648 > 1", "NOT a > 1", "NOT (a > 1)", "a > 1 AND a < 3",
        "a > 'x' OR TRUE", "TRUE OR a > b", "a > b OR TRUE", "FALSE AND a > b", "a > b AND FALSE",
        "missing > b", "missing > -a", "=", "> 1", "a >", "a > >", "a >= > 1",
        // between
        "a BETWEEN 1 AND 3", "a NOT BETWEEN 1 AND 3", "a BETWEEN 3 AND 1", "a NOT BETWEEN 3 AND 1",
        "a BETWEEN 1 AND 1", "a BETWEEN 1.5 AND 2", "a BETWEEN 2 AND 1.5", "a BETWEEN -1 AND 1",
        "a BETWEEN 1 AND -1", "a BETWEEN b AND c", "a NOT BETWEEN b AND c", "a BETWEEN missing AND 3",
        "a BETWEEN 1 AND missing", "a NOT BETWEEN missing AND 3", "a NOT BETWEEN 1 AND missing",
        "missing BETWEEN 1 AND 3", "missing NOT BETWEEN 1 AND 3", "2 BETWEEN 1 AND 3",
        "2 BETWEEN a AND 3", "'x' BETWEEN 1 AND 3", "TRUE BETWEEN 1 AND 3", "a BETWEEN 'a' AND 'b'",
        "a BETWEEN 'b' AND 'a'", "a NOT BETWEEN 'a' AND 'b'", "a BETWEEN NULL AND 3",
        "a BETWEEN 1 AND NULL", "a NOT BETWEEN NULL AND 3", "a BETWEEN TRUE AND 3",
        "a BETWEEN TRUE AND FALSE", "a BETWEEN 1 AND TRUE", "a BETWEEN 1 AND (3)",
        "a BETWEEN (1) AND 3", "a BETWEEN 1 AND 3 AND b = 1", "a BETWEEN 1 AND 3 OR b = 1",
        "a BETWEEN 1 AND 3 = TRUE", "a BETWEEN 1 AND 3 BETWEEN 1 AND 3", "a BETWEEN 1 OR 3",
        "a BETWEEN 1", "a BETWEEN", "a BETWEEN 1 AND", "a BETWEEN 1 AND NOT b",
        "a BETWEEN NOT b AND 1", "a BETWEEN 1 = 1 AND 3", "-(a = 1) BETWEEN 1 AND 2",
        "NOT a BETWEEN 1 AND 3", "NOT (a BETWEEN 1 AND 3)", "a BETWEEN 1 AND 3000000000",
        "a BETWEEN 3000000000 AND 1", "a BETWEEN 1 AND 3 AND", "a BETWEEN + 1 AND + 3",
        // in
        "a IN ('abc')", "a IN ('abc', '1')", "a NOT IN ('abc')", "a NOT IN ('abc', '1')",
        "a IN ('abc', 'b', '1', '2', '3', '4')", "a NOT IN ('abc', 'b', '1', '2', '3', '4')",
        "missing IN ('x')", "missing NOT IN ('x')", "a IN ()", "a IN (1)", "a IN ('x', 1)",
        "a IN ('x',)", "a IN ('x'", "a IN 'x'", "a IN ('it''s')", "a IN ('')", "1 IN ('1')",
        "'x' IN ('x')", "(a) IN ('abc')", "+a IN ('abc')", "-a IN ('abc')", "NOT a IN ('abc')",
        "NOT (a IN ('abc'))", "(a = 1) IN ('x')", "a IN ('abc') IN ('abc')", "a IN ('abc') = TRUE",
        "TRUE IN ('x')", "a IN (TRUE)", "a IN (NULL)", "a IN ('abc' 'b')", "a IN('abc')",
        "a in ('abc')", "a not in('abc')", "a NOT ('abc')", "a NOT = 1", "a NOT",
        // contains, startswith, endswith
        "a CONTAINS 'b'", "a CONTAINS 'abc'", "a CONTAINS ''", "a NOT CONTAINS 'b'",
        "a NOT CONTAINS ''", "missing CONTAINS 'b'", "missing NOT CONTAINS 'b'", "'abc' CONTAINS 'b'",
        "1 CONTAINS '1'", "1 NOT CONTAINS '1'", "TRUE CONTAINS 'T'", "NULL CONTAINS 'N'",
        "(a = 1) CONTAINS 'x'", "a CONTAINS b", "a CONTAINS 1", "a CONTAINS TRUE", "a CONTAINS NULL",
        "a CONTAINS ('b')", "a CONTAINS", "a NOT CONTAINS", "a CONTAINS 'a' CONTAINS 'b'",
        "a NOT CONTAINS 'a' NOT CONTAINS 'b'", "a STARTSWITH 'a'", "a STARTSWITH 'abc'",
        "a STARTSWITH ''", "a NOT STARTSWITH 'a'", "a NOT STARTSWITH ''", "missing STARTSWITH 'a'",
        "missing NOT STARTSWITH 'a'", "1 STARTSWITH '1'", "a ENDSWITH 'c'", "a ENDSWITH 'abc'",
        "a ENDSWITH ''", "a NOT ENDSWITH 'c'", "a NOT ENDSWITH ''", "missing ENDSWITH 'c'",
        "missing NOT ENDSWITH 'c'", "'abc' ENDSWITH 'c'", "a contains 'b'", "a startswith 'a'",
        "a endswith 'c'", "a not contains 'b'", "NOT a CONTAINS 'b'", "NOT (a CONTAINS 'b')",
        "a CONTAINS 'b' = TRUE", "a CONTAINS 'b' AND a STARTSWITH 'a'", "a LIKE 'a%'",
        "a CONTAINS '\u00e4'", "a STARTSWITH '\u00e4\u20ac'", "a ENDSWITH '\ud83d\ude00'",
        "a = '\u00e4\u20ac\ud83d\ude00'",
        // logic of three values
        "missing = 1 AND TRUE", "missing = 1 AND FALSE", "FALSE AND missing = 1",
        "TRUE AND missing = 1", "missing = 1 OR TRUE", "missing = 1 OR FALSE", "TRUE OR missing = 1",
        "FALSE OR missing = 1", "NULL AND FALSE", "NULL OR TRUE", "NULL AND NULL", "NOT (NULL OR FALSE)",
        "a = 1 OR b = 1 AND c = 1", "(a = 1 OR b = 1) AND c = 1", "a = 1 AND b = 1 OR c = 1",
        "a = 1 AND (b = 1 OR c = 1)", "TRUE OR FALSE AND FALSE", "TRUE AND TRUE AND missing = 1",
        "FALSE OR missing = 1 OR TRUE", "TRUE AND (FALSE OR missing = 1)", "a AND", "AND a", "a OR",
        "a AND AND b", "a OR OR b", "a AND OR b", "a b", "a, b", "a AND b c",
        // tokens
        "", " ", "a=1", "a\t=\n1\r\f", "a = 1 -- to the end\n", "a = 1 -- no end", "-- first\na = 1",
        "a > --1", "a > --1\n", "a > --1\n1", "/* first */ a = 1", "a /* in */ = /**/ 1",
        "a = 1 /* no end", "a = 1 /* ** **/", "/**/", "a = /*/ 1", "a = 1 */", "a = 1 ;", "a = 1;",
        "a = 1 x", "a = 1 x ;", "a = 1 ) (", "a = 1 'x", "a = 1 'x'", "a = 'x", "a = \"x\"",
        "a = 'it''s'", "a = ''", "a = ''''", "a = 'a\nb'", "a.b = 1", "a-b = 1", "a$ = 1", "$a = 1",
        "_a = 1", "a1 = 1", "1a = 1", "\u00e4 = 1", "a = \u0663", "a = 1\u00a0", "a\u0000= 1", "A = 1",
        "aNd = 1", "a AnD b", "aANDb", "a ANDb", "1AND TRUE", "TRUEAND TRUE", "a = 1AND TRUE",
        "a = 1.AND TRUE", "a = 1EAND TRUE", "a = 1LAND TRUE", "a = 'x'AND TRUE", "(a = 1", "a = 1)",
        "()", "(", ")", "((((((((((a = 1))))))))))", "a = (1)", "a = (b)", "a = ((b = 1))", "a + 1 = 2",
        "a * 2 = 2", "a % 2 = 0", "a || b", "a && b", "!a", "a <> = 1", "a < > 1", "a > = 1", "a =< 1",
        "a => 1", "NOT", "NOT NOT", "IS NULL", "IN ('x')", "CONTAINS 'x'", "BETWEEN 1 AND 2",
        "a = CONTAINS", "CONTAINS = 1", "between = 1", "like = 'x'", "escape = 'x'", "now = 1",
        "now() > 1", "a = 1 AND now() > 1", "TAGS = 'x'", "a = 1 COMMENT 1", "a = 1 \u20ac", "a = 1 x \u20ac",
        "\ufeffa = 1", "\u212a = 1", "a\u0131 = 1", "\u017ftartswith = 1", "a \u0131s NULL",
    };

    private final Random random = new Random(SEED);
    private final List<Map<String, String>> messages = new ArrayList<>();

    public static void main(String[] args) {
        new ApacheVerdicts().run(new PrintStream(System.out, false, StandardCharsets.US_ASCII));
    }

    private void run(PrintStream out) {
        messages();
        Set<String> expressions = new LinkedHashSet<>(List.of(FIXED));
        while (expressions.size() < FIXED.length + RANDOM) {
            String whole = logic(3);
            expressions.add(random.nextInt(4) == 0 ? damaged(whole) : whole);
        }
        out.println("# What SqlFilter of rocketmq-filter 5.5.0 says. Made by:");
        out.println("#   java -cp 'target/conformance/apache/*' filter/tests/oracle/ApacheVerdicts.java"
            + " > filter/tests/oracle/verdicts.txt");
        out.println("# (the jars come with: cargo run --release -p conformance -- --against apache"
            + " --only sql-filter)");
        out.println("# message: its properties. expression, then a letter for each message: True,"
            + " False, Null, eXception; or refused.");
        out.println("# double, integer: a text, then what Double.parseDouble (its bits) and"
            + " Long.parseLong make of it.");
        for (Map<String, String> message : messages) {
            List<String> fields = new ArrayList<>();
            message.forEach((name, value) -> fields.add(json(name) + ":" + json(value)));
            out.println("message\t{" + String.join(",", fields) + "}");
        }
        for (String expression : expressions) {
            out.println("expression\t" + json(expression) + "\t" + verdicts(expression));
        }
        numbers(out);
        out.flush();
    }

    /** What Double.parseDouble and Long.parseLong make of texts. */
    private void numbers(PrintStream out) {
        Set<String> texts = new LinkedHashSet<>(List.of(VALUES));
        texts.addAll(List.of("", " ", "+", "+-1", "--1", "1e", "e1", "1e+", "1e5f", "1fd", "0x", "0xp1",
            "0x.p1", "0x1.p1", "0x1p", "0x1p+", "0x1", "0X1P-1F", "0x1p99999999999999999999",
            "0x1p-99999999999999999999", "0x1p-1075", "0x1.8p-1075", "0x1.0000000000001p-1075",
            "0x0.8p-1074", "0x1p1023", "0x1.fffffffffffffp1023", "0x1.fffffffffffff8p1023",
            "0x1.fffffffffffff7ffffffp1023", "0x1.00000000000008p0", "0x1.000000000000080001p0",
            "0x1.00000000000018p0", "0x0p0", "-0x0p0", "0x1.8p-1030", "0x1.fffffffffffffffp-1023",
            "2.2250738585072012e-308", "2.4703282292062328e-324", "2.4703282292062327e-324",
            "1.7976931348623158e308", "1.7976931348623159e308", "1e99999999999", "1e-99999999999",
            "nan", "infinity", "+Infinity", "+NaN", "NaNf", "Infinityd", "1,5", "1_000", "\u00a01",
            "1\u0000", "\u0966\u0967", "\ud835\udfce", "9223372036854775806", "-9223372036854775809"));
        String hex = "0123456789abcdefABCDEF";
        while (texts.size() < 400) {
            StringBuilder text = new StringBuilder(one("", "", "-", "+"));
            boolean isHex = random.nextBoolean();
            String digits = isHex ? hex : hex.substring(0, 10);
            text.append(isHex ? one("0x", "0X") : "");
            for (int i = random.nextInt(20); i >= 0; i--) {
                text.append(random.nextInt(12) == 0 ? '.' : digits.charAt(random.nextInt(digits.length())));
            }
            int power = random.nextInt(isHex ? 1100 : 330) * (random.nextBoolean() ? 1 : -1);
            text.append(isHex ? one("p", "P") : one("", "", "e", "E"));
            texts.add(text.append(random.nextInt(9) == 0 ? "" : power).append(one("", "", "", "f", "D"))
                .toString());
        }
        for (String text : texts) {
            String parsed = "refused";
            try {
                parsed = Long.toHexString(Double.doubleToLongBits(Double.parseDouble(text)));
            } catch (NumberFormatException e) {
                // refused
            }
            out.println("double\t" + json(text) + "\t" + parsed);
            parsed = "refused";
            try {
                parsed = Long.toString(Long.parseLong(text));
            } catch (NumberFormatException e) {
                // refused
            }
            out.println("integer\t" + json(text) + "\t" + parsed);
        }
    }

    /** Every value once as {@code a}, and random others beside it. */
    private void messages() {
        messages.add(Map.of());
        for (String value : VALUES) {
            Map<String, String> message = new LinkedHashMap<>();
            message.put("a", value);
            for (String name : List.of("b", "c", "d")) {
                if (random.nextInt(4) != 0) {
                    message.put(name, VALUES[random.nextInt(random.nextInt(3) == 0 ? VALUES.length : 3)]);
                }
            }
            messages.add(message);
        }
    }

    private String verdicts(String text) {
        Expression expression;
        try {
            expression = new SqlFilter().compile(text);
        } catch (Throwable e) {
            return "refused";
        }
        StringBuilder letters = new StringBuilder();
        messages.forEach(message -> letters.append(verdict(expression, message)));
        return letters.toString();
    }

    /** As ExpressionMessageFilter evaluates, which takes only {@code Boolean.TRUE}. */
    private static char verdict(Expression expression, Map<String, String> message) {
        try {
            Object found = expression.evaluate(new EvaluationContext() {
                @Override
                public Object get(String name) {
                    return message.get(name);
                }

                @Override
                public Map<String, Object> keyValues() {
                    return new HashMap<>(message);
                }
            });
            if (found == null) {
                return 'N';
            }
            return found instanceof Boolean ? ((Boolean) found ? 'T' : 'F') : 'O';
        } catch (Throwable e) {
            return 'X';
        }
    }

    private String logic(int depth) {
        if (depth == 0 || random.nextInt(3) == 0) {
            return comparison(depth);
        }
        switch (random.nextInt(5)) {
            case 0:
                return "NOT (" + logic(depth - 1) + ")";
            case 1:
                return "(" + logic(depth - 1) + ")";
            case 2:
                return logic(depth - 1) + " OR " + logic(depth - 1);
            default:
                return logic(depth - 1) + " AND " + logic(depth - 1);
        }
    }

    private String comparison(int depth) {
        String not = random.nextInt(3) == 0 ? " NOT" : "";
        switch (random.nextInt(9)) {
            case 0:
                return operand(depth) + " IS" + not + " NULL";
            case 1:
                return operand(depth) + not + " BETWEEN " + operand(0) + " AND " + operand(0);
            case 2:
                return name() + not + " IN (" + text() + ", " + text() + ")";
            case 3:
                return operand(depth) + not + one(" CONTAINS ", " STARTSWITH ", " ENDSWITH ") + text();
            case 4:
            case 5:
                return operand(depth) + one(" = ", " <> ") + operand(depth);
            default:
                return operand(depth) + one(" > ", " >= ", " < ", " <= ") + operand(0);
        }
    }

    private String operand(int depth) {
        switch (random.nextInt(depth > 0 ? 14 : 12)) {
            case 0:
                return text();
            case 1:
                return "-" + number();
            case 2:
            case 3:
                return number();
            case 4:
                return one("TRUE", "FALSE", "-a", "+b", "(c)", "NULL");
            case 12:
            case 13:
                return "(" + logic(depth - 1) + ")";
            default:
                return name();
        }
    }

    private String name() {
        return one("a", "a", "b", "c", "d", "missing");
    }

    private String number() {
        return one("1", "2", "10", "1.5", "2.", ".5", "1L", "1E3", "2147483648", "3");
    }

    private String text() {
        return one("'a'", "'abc'", "'1'", "''", "'it''s'", "'true'", "'0'", "'1.5'");
    }

    private String one(String... of) {
        return of[random.nextInt(of.length)];
    }

    /** A character or a piece goes, or comes in. */
    private String damaged(String text) {
        int from = random.nextInt(text.length());
        int to = Math.min(text.length(), from + random.nextInt(6));
        switch (random.nextInt(3)) {
            case 0:
                return text.substring(0, from) + text.substring(to);
            case 1:
                return text.substring(0, from) + one("(", ")", "NOT ", "=", "-", "'", ";", " x ", "AND", ",")
                    + text.substring(from);
            default:
                return text.substring(0, from) + text.substring(from, to) + text.substring(from);
        }
    }

    private static String json(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}

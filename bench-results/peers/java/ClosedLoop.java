import java.nio.charset.StandardCharsets;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * A closed loop on the stock client, shaped as RocketMQ's own benchmark (Producer.java of its example module): THREADS
 * threads that each send, wait for the answer and send again, through one DefaultMQProducer. It differs in two points:
 * time is System.nanoTime and not wall-clock milliseconds, and a failed send is followed by the next one at once (the
 * benchmark sleeps 3 s then, which removes load exactly when the broker is busy).
 *
 * Arguments: NAMESRV TOPIC THREADS BYTES WARMUP_SECONDS SECONDS. Prints one line with the benchmark's names.
 */
public class ClosedLoop {
    public static void main(String[] args) throws Exception {
        String namesrv = args[0], topic = args[1];
        int threads = Integer.parseInt(args[2]), bytes = Integer.parseInt(args[3]);
        long warmup = seconds(args[4]), window = seconds(args[5]);
        DefaultMQProducer producer = new DefaultMQProducer("closed_loop");
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName(Long.toString(System.currentTimeMillis()));
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        LongAdder sent = new LongAdder(), failed = new LongAdder(), nanos = new LongAdder();
        AtomicLong longest = new AtomicLong();
        long from = System.nanoTime() + warmup, to = from + window;
        Thread[] each = new Thread[threads];
        for (int i = 0; i < threads; i++) {
            byte[] body = new byte[bytes];
            new Random(i).nextBytes(body);
            each[i] = new Thread(() -> {
                for (long n = 0; System.nanoTime() < to; n++) {
                    long begun = System.nanoTime();
                    boolean stored = false;
                    try {
                        byte[] count = Long.toHexString(n).getBytes(StandardCharsets.US_ASCII);
                        System.arraycopy(count, 0, body, 0, Math.min(count.length, body.length));
                        stored = producer.send(new Message(topic, body)).getSendStatus() == SendStatus.SEND_OK;
                    } catch (Exception refused) {
                        // Counted below: a closed loop goes on.
                    }
                    long ended = System.nanoTime();
                    if (begun < from || ended > to) {
                        continue;
                    }
                    (stored ? sent : failed).increment();
                    nanos.add(ended - begun);
                    longest.accumulateAndGet(ended - begun, Math::max);
                }
            });
            each[i].start();
        }
        for (Thread thread : each) {
            thread.join();
        }
        double tps = sent.sum() / (window / 1e9);
        double mean = nanos.sum() / 1e6 / Math.max(1, sent.sum() + failed.sum());
        System.out.printf("Send TPS: %.0f | Max RT(ms): %.3f | Average RT(ms): %.3f | Send Failed: %d%n",
            tps, longest.get() / 1e6, mean, failed.sum());
        producer.shutdown();
    }

    private static long seconds(String text) {
        return (long) (Double.parseDouble(text) * 1e9);
    }
}

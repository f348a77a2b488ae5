import org.apache.rocketmq.client.producer.DefaultMQProducer;  
import org.apache.rocketmq.common.message.Message;  

public class ClusterProducerExample {  
    public static void main(String[] args) throws Exception {  
        DefaultMQProducer producer = new DefaultMQProducer("ClusterProducerGroup");  
        producer.setNamesrvAddr("localhost:9876;localhost:9877");  
        producer.start();  

        for (int i = 0; i < 10; i++) {  
            Message msg = new Message("ClusterTopicTest", "TagA", ("Hello RocketMQ " + i).getBytes());  
            producer.send(msg);  
        }  

        producer.shutdown();  
    }  
}

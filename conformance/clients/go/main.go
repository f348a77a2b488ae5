// The Go client's program: see ../README.md for its verbs, orders and events.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

type setup struct {
	Namesrv     string `json:"namesrv"`
	Group       string `json:"group"`
	Topic       string `json:"topic"`
	Tags        string `json:"tags"`
	Sql         string `json:"sql"`
	Orderly     bool   `json:"orderly"`
	FailUntil   int32  `json:"fail_until"`
	AttemptsMax int32  `json:"attempts_max"`
}

type message struct {
	Body       string            `json:"body"`
	Tag        string            `json:"tag"`
	Delay      int               `json:"delay"`
	Properties map[string]string `json:"properties"`
	Order      string            `json:"order"`
}

type order struct {
	Kind     string    `json:"kind"`
	Messages []message `json:"messages"`
}

type event map[string]any

var printing sync.Mutex

func tell(e event) {
	line, _ := json.Marshal(e)
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(line))
}

func must(err error, what string) {
	if err != nil {
		tell(event{"event": "broken", "why": what + ": " + err.Error()})
		os.Exit(1)
	}
}

func main() {
	rlog.SetLogLevel("warn")
	var s setup
	must(json.Unmarshal([]byte(os.Args[2]), &s), "reading the setup")
	switch os.Args[1] {
	case "produce":
		produce(s)
	case "transact":
		transact(s)
	case "consume":
		consume(s)
	}
}

func producerOptions(s setup) []producer.Option {
	return []producer.Option{
		producer.WithNsResolver(primitive.NewPassthroughResolver(strings.Split(s.Namesrv, ";"))),
		producer.WithGroupName(s.Group),
		producer.WithQueueSelector(producer.NewHashQueueSelector()),
		producer.WithRetry(2),
	}
}

// Calls `send` for each order on standard input and tells how it ended.
func obey(send func(kind string, messages []*primitive.Message) error, topic string) {
	tell(event{"event": "ready"})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		must(json.Unmarshal(lines.Bytes(), &o), "reading an order")
		bodies := make([]string, 0, len(o.Messages))
		messages := make([]*primitive.Message, 0, len(o.Messages))
		for _, m := range o.Messages {
			bodies = append(bodies, m.Body)
			messages = append(messages, build(topic, m))
		}
		if err := send(o.Kind, messages); err != nil {
			tell(event{"event": "failed", "bodies": bodies, "why": err.Error()})
		} else {
			tell(event{"event": "sent", "bodies": bodies})
		}
	}
}

func build(topic string, m message) *primitive.Message {
	built := primitive.NewMessage(topic, []byte(m.Body))
	if m.Tag != "" {
		built.WithTag(m.Tag)
	}
	if m.Delay > 0 {
		built.WithDelayTimeLevel(m.Delay)
	}
	if m.Order != "" {
		built.WithShardingKey(m.Order)
	}
	for key, value := range m.Properties {
		built.WithProperty(key, value)
	}
	return built
}

func produce(s setup) {
	p, err := rocketmq.NewProducer(producerOptions(s)...)
	must(err, "making a producer")
	must(p.Start(), "starting a producer")
	obey(func(kind string, messages []*primitive.Message) error {
		if kind == "oneway" {
			return p.SendOneWay(context.Background(), messages...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		result, err := p.SendSync(ctx, messages...)
		if err == nil && result.Status != primitive.SendOK {
			return fmt.Errorf("status %d", result.Status)
		}
		return err
	}, s.Topic)
	must(p.Shutdown(), "ending a producer")
	tell(event{"event": "stopped"})
}

// A message's body says how its transaction ends: `commit…`, `rollback…`, and `ask-commit…` or
// `ask-rollback…` when the broker has to ask.
type fates struct{}

func fate(body string) primitive.LocalTransactionState {
	switch {
	case strings.HasPrefix(body, "commit"):
		return primitive.CommitMessageState
	case strings.HasPrefix(body, "rollback"):
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (fates) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	return fate(string(m.Body))
}

func (fates) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	tell(event{"event": "asked", "body": string(m.Body)})
	return fate(strings.TrimPrefix(string(m.Body), "ask-"))
}

func transact(s setup) {
	p, err := rocketmq.NewTransactionProducer(fates{}, producerOptions(s)...)
	must(err, "making a producer")
	must(p.Start(), "starting a producer")
	obey(func(_ string, messages []*primitive.Message) error {
		_, err := p.SendMessageInTransaction(context.Background(), messages[0])
		return err
	}, s.Topic)
	must(p.Shutdown(), "ending a producer")
	tell(event{"event": "stopped"})
}

func consume(s setup) {
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(primitive.NewPassthroughResolver(strings.Split(s.Namesrv, ";"))),
		consumer.WithGroupName(s.Group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerOrder(s.Orderly),
		consumer.WithMaxReconsumeTimes(s.AttemptsMax),
	)
	must(err, "making a consumer")
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: s.Tags}
	if s.Sql != "" {
		selector = consumer.MessageSelector{Type: consumer.SQL92, Expression: s.Sql}
	}
	must(c.Subscribe(s.Topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range messages {
			tell(event{
				"event": "received", "body": string(m.Body), "attempt": m.ReconsumeTimes, "tag": m.GetTags(),
				"queue": m.Queue.QueueId, "broker": m.Queue.BrokerName, "at_ms": time.Now().UnixMilli(),
				"from": m.GetProperty("RETRY_TOPIC"),
			})
			if m.ReconsumeTimes < s.FailUntil {
				return consumer.ConsumeRetryLater, nil
			}
		}
		return consumer.ConsumeSuccess, nil
	}), "subscribing")
	must(c.Start(), "starting a consumer")
	tell(event{"event": "ready"})
	bufio.NewScanner(os.Stdin).Scan()
	must(c.Shutdown(), "ending a consumer")
	tell(event{"event": "stopped"})
}

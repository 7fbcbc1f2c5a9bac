// Command clickhousego reads a ClickHouse server with clickhouse-go, as Grafana's plugin does, and prints what it got as JSON lines.
// read.py does the same with the Python clients.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var (
	address     = flag.String("address", "", "host:port of the server")
	protocol    = flag.String("protocol", "native", "native or http")
	compression = flag.String("compression", "none", "none, lz4, zstd or gzip")
	user        = flag.String("user", "reader", "who logs in")
	password    = flag.String("password-file", "", "file with the password")
	database    = flag.String("database", "otel", "database of unqualified names")
	output      = flag.String("output", "", "file to print to")
)

var codeInText = regexp.MustCompile(`\bCode: (\d+)`)

var methods = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone,
	"lz4":  clickhouse.CompressionLZ4,
	"zstd": clickhouse.CompressionZSTD,
	"gzip": clickhouse.CompressionGZIP,
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	if err := run(flag.Arg(0), flag.Args()[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(command string, arguments []string) error {
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	file, err := os.Create(*output)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	// As the plugin does: the driver sends max_execution_time with each statement.
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	switch command {
	case "rows":
		return rows(ctx, conn, arguments[0], encoder)
	case "stream":
		return stream(ctx, conn, arguments[0], encoder)
	case "parameters":
		return parameters(ctx, conn, arguments[0], encoder)
	case "refused":
		return refused(ctx, conn, arguments, encoder)
	case "deadline":
		return deadline(conn, arguments[0], encoder)
	}
	return fmt.Errorf("unknown command %q", command)
}

func connect() (clickhouse.Conn, error) {
	secret, err := os.ReadFile(*password)
	if err != nil {
		return nil, err
	}
	method, known := methods[*compression]
	if !known {
		return nil, fmt.Errorf("unknown compression %q", *compression)
	}
	options := &clickhouse.Options{
		Addr:        []string{*address},
		Auth:        clickhouse.Auth{Database: *database, Username: *user, Password: string(secret[:len(secret)-1])},
		Compression: &clickhouse.Compression{Method: method},
		ClientInfo:  clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{Name: "clickhousego", Version: "1"}}},
	}
	if *protocol == "http" {
		options.Protocol = clickhouse.HTTP
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, err
	}
	return conn, conn.Ping(context.Background())
}

// rows prints the columns' names and then each row as its values.
func rows(ctx context.Context, conn clickhouse.Conn, statement string, encoder *json.Encoder) error {
	result, err := conn.Query(ctx, statement)
	if err != nil {
		return err
	}
	defer result.Close()
	if err := encoder.Encode(result.Columns()); err != nil {
		return err
	}
	destinations := makeDestinations(result.ColumnTypes())
	for result.Next() {
		if err := result.Scan(destinations.fresh()...); err != nil {
			return err
		}
		values, err := destinations.values()
		if err != nil {
			return err
		}
		if err := encoder.Encode(values); err != nil {
			return err
		}
	}
	return result.Err()
}

// stream reads rows of a time, two strings and a map, and prints how many there were and the SHA-256 of them.
func stream(ctx context.Context, conn clickhouse.Conn, statement string, encoder *json.Encoder) error {
	started := time.Now()
	result, err := conn.Query(ctx, statement)
	if err != nil {
		return err
	}
	defer result.Close()
	digest := sha256.New()
	var count int
	var firstMs int64
	for result.Next() {
		var (
			when  time.Time
			trace string
			body  string
			attrs orderedMap
		)
		if err := result.Scan(&when, &trace, &body, &attrs); err != nil {
			return err
		}
		if count == 0 {
			firstMs = time.Since(started).Milliseconds()
		}
		count++
		fmt.Fprintf(digest, "%d\t%s\t%s\t%d\n", when.UnixNano(), trace, body, len(attrs.pairs))
	}
	if err := result.Err(); err != nil {
		return err
	}
	return encoder.Encode(map[string]any{
		"count": count, "digest": hex.EncodeToString(digest.Sum(nil)),
		"firstMs": firstMs, "totalMs": time.Since(started).Milliseconds(),
	})
}

// parameters passes values of several types through {name:Type} and prints what the server made of them.
func parameters(ctx context.Context, conn clickhouse.Conn, text string, encoder *json.Encoder) error {
	var given map[string]string
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return err
	}
	const statement = "SELECT {text:String}, toString({number:UInt64}), toString({list:Array(String)}), count() FROM otel_logs WHERE Body = {text:String}"
	var value, number, list string
	var count uint64
	row := conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters(given))), statement)
	if err := row.Scan(&value, &number, &list, &count); err != nil {
		return err
	}
	return encoder.Encode([]any{value, number, list, count})
}

// refused runs statements that must fail and prints the code and text of each error; null for one that did not.
func refused(ctx context.Context, conn clickhouse.Conn, statements []string, encoder *json.Encoder) error {
	for _, statement := range statements {
		if err := encoder.Encode(describe(drain(ctx, conn, statement))); err != nil {
			return err
		}
	}
	return nil
}

// deadline runs a long statement with a deadline of a second and a half.
func deadline(conn clickhouse.Conn, statement string, encoder *json.Encoder) error {
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	started := time.Now()
	err := drain(ctx, conn, statement)
	result := describe(err)
	if result == nil {
		return errors.New("it ended")
	}
	result["ms"] = time.Since(started).Milliseconds()
	return encoder.Encode(result)
}

func drain(ctx context.Context, conn clickhouse.Conn, statement string) error {
	result, err := conn.Query(ctx, statement)
	if err != nil {
		return err
	}
	defer result.Close()
	for result.Next() {
	}
	return result.Err()
}

func describe(err error) map[string]any {
	if err == nil {
		return nil
	}
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return map[string]any{"code": exception.Code, "message": exception.Message}
	}
	// Over HTTP the driver has the server's words only.
	if found := codeInText.FindStringSubmatch(err.Error()); found != nil {
		code, _ := strconv.Atoi(found[1])
		return map[string]any{"code": code, "message": err.Error()}
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout()) {
		return map[string]any{"code": "timeout", "message": err.Error()}
	}
	return map[string]any{"code": 0, "message": err.Error()}
}

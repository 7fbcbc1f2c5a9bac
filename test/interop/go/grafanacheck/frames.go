package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/data/sqlutil"
)

// question is a query with nothing left to expand, and what becomes of its answer: the plugin's number of the format.
type question struct {
	Name   string `json:"name"`
	SQL    string `json:"sql"`
	Format int    `json:"format"`
}

const (
	timeSeries = 0
	deadline   = time.Minute
	rowLimit   = 1_000_000
)

// frames asks the questions of a file, a JSON line each, as the data source does: over the native protocol, as reader, with its default deadline.
func frames(file string) error {
	secret, err := os.ReadFile(*password)
	if err != nil {
		return err
	}
	db := clickhouse.OpenDB(&clickhouse.Options{
		Addr: []string{*address},
		Auth: clickhouse.Auth{Database: "otel", Username: "reader", Password: strings.TrimSpace(string(secret))},
	})
	defer db.Close()
	input, err := os.Open(file)
	if err != nil {
		return err
	}
	defer input.Close()
	for decoder := json.NewDecoder(input); decoder.More(); {
		var asked question
		if err := decoder.Decode(&asked); err != nil {
			return err
		}
		say(answer(db, asked))
	}
	return nil
}

func answer(db *sql.DB, asked question) verdict {
	result := verdict{Name: asked.Name}
	frame, err := ask(db, asked)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	result.Rows = frame.Rows()
	for _, one := range frame.Fields {
		result.Fields = append(result.Fields, field{one.Name, one.Type().ItemTypeString(), one.Labels})
	}
	return result
}

func ask(db *sql.DB, asked question) (*data.Frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	rows, err := db.QueryContext(ctx, asked.SQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	frame, err := sqlutil.FrameFromRows(rows, rowLimit, converters...)
	if err != nil {
		return nil, err
	}
	if asked.Format != timeSeries {
		return frame, nil
	}
	// As sqlds, on which the data source stands, does with time series: rows with labels become a column for each line.
	switch kind := frame.TimeSeriesSchema().Type; kind {
	case data.TimeSeriesTypeWide:
		return frame, nil
	case data.TimeSeriesTypeLong:
		return data.LongToWide(frame, nil)
	default:
		return nil, fmt.Errorf("no time series: %v", kind)
	}
}

// converters of columns that the SDK cannot scan by itself.
var converters = []sqlutil.Converter{
	structured,
	nullable[float32]("Float32", data.FieldTypeNullableFloat32),
	nullable[float64]("Float64", data.FieldTypeNullableFloat64),
	nullable[int64]("Int64", data.FieldTypeNullableInt64),
	nullable[uint16]("UInt16", data.FieldTypeNullableUint16),
	nullable[uint64]("UInt64", data.FieldTypeNullableUint64),
}

// nullable gives NULL as nil, as the data source's own converters do.
func nullable[T any](name string, kind data.FieldType) sqlutil.Converter {
	return sqlutil.Converter{
		Name:          "nullable " + name,
		InputScanType: reflect.TypeFor[**T](),
		InputTypeName: "Nullable(" + name + ")",
		FrameConverter: sqlutil.FrameConverter{
			FieldType:     kind,
			ConverterFunc: func(in any) (any, error) { return *(in.(**T)), nil },
		},
	}
}

// structured gives arrays, maps and tuples as JSON, as the data source's own converters do.
var structured = sqlutil.Converter{
	Name:           "structured values",
	InputScanType:  reflect.TypeFor[any](),
	InputTypeRegex: regexp.MustCompile(`^(?:Array|Map|Tuple)\(`),
	FrameConverter: sqlutil.FrameConverter{
		FieldType: data.FieldTypeJSON,
		ConverterFunc: func(in any) (any, error) {
			text, err := json.Marshal(*(in.(*any)))
			return json.RawMessage(text), err
		},
	},
}

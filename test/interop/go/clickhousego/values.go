package main

import (
	"fmt"
	"net"
	"reflect"
	"sort"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// orderedMap takes a Map as it is: in its order, keys that are there twice too. A Go map would keep the last of them.
type orderedMap struct{ pairs [][2]string }

func (m *orderedMap) Put(key, value any) {
	m.pairs = append(m.pairs, [2]string{key.(string), value.(string)})
}

func (m *orderedMap) Iterator() column.MapIterator { return nil }

// destinations are what rows are scanned into, by the types that the driver chooses itself.
type destinations struct {
	columns []driver.ColumnType
	row     []any
}

func makeDestinations(columns []driver.ColumnType) *destinations {
	return &destinations{columns: columns, row: make([]any, len(columns))}
}

func (d *destinations) fresh() []any {
	for i, one := range d.columns {
		if one.ScanType().Kind() == reflect.Map {
			d.row[i] = &orderedMap{}
		} else {
			d.row[i] = reflect.New(one.ScanType()).Interface()
		}
	}
	return d.row
}

func (d *destinations) values() ([]any, error) {
	values := make([]any, len(d.row))
	for i, destination := range d.row {
		value, err := plain(reflect.ValueOf(destination).Elem())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.columns[i].Name(), err)
		}
		values[i] = value
	}
	return values, nil
}

// plain is a value as the lane compares it: numbers of 64 bits and times (in nanoseconds) as text, strings as the characters of their bytes,
// maps as pairs in the order of their keys.
func plain(value reflect.Value) (any, error) {
	switch one := value.Interface().(type) {
	case time.Time:
		return strconv.FormatInt(one.UnixNano(), 10), nil
	case net.IP:
		return latin1(string(one.To16())), nil
	case orderedMap:
		return pairs(one.pairs), nil
	}
	switch value.Kind() {
	case reflect.String:
		return latin1(value.String()), nil
	case reflect.Int64, reflect.Uint64:
		return fmt.Sprint(value.Interface()), nil
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Float32, reflect.Float64:
		return value.Interface(), nil
	case reflect.Slice:
		items := make([]any, value.Len())
		for i := range items {
			item, err := plain(value.Index(i))
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return items, nil
	case reflect.Map:
		var all [][2]string
		for _, key := range value.MapKeys() {
			all = append(all, [2]string{key.String(), value.MapIndex(key).String()})
		}
		return pairs(all), nil
	}
	return nil, fmt.Errorf("a value of type %s", value.Type())
}

func pairs(all [][2]string) [][2]string {
	sorted := make([][2]string, 0, len(all))
	for _, pair := range all {
		sorted = append(sorted, [2]string{latin1(pair[0]), latin1(pair[1])})
	}
	sort.SliceStable(sorted, func(a, b int) bool { return sorted[a][0] < sorted[b][0] })
	return sorted
}

func latin1(text string) string {
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

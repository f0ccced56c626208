// Many POSTs at once, by Go's own client: posts URL COUNT BYTES. Each goes to URL/1 and so on; prints the lines that came back.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

func main() {
	count, body := number(os.Args[2]), bytes.Repeat([]byte("x"), number(os.Args[3]))
	lines := make(chan string, count)
	for i := 1; i <= count; i++ {
		go func(url string) { lines <- post(url, body) }(fmt.Sprintf("%s/%d", os.Args[1], i))
	}
	for i := 1; i <= count; i++ {
		fmt.Println(<-lines)
	}
}

func post(url string, body []byte) string {
	answer, err := http.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %d %s", answer.Proto, answer.StatusCode, text)
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

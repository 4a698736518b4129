package movement

import (
	"fmt"
	"strings"

	"github.com/podkeep/podkeep/internal/wire"
)

// Remarks is what people should know about a success that is not quite whole, or
// "".
func Remarks(subject string, r wire.Result) string {
	var remarks []string
	if r.SkippedFiles > 0 {
		remarks = append(remarks, fmt.Sprintf("%d entries are pipes, sockets or devices and were skipped: %s",
			r.SkippedFiles, sample(r.Skipped, r.SkippedFiles)))
	}
	if r.LostAttributes > 0 {
		remarks = append(remarks, fmt.Sprintf("%d attributes could not be set: %s",
			r.LostAttributes, sample(r.Lost, r.LostAttributes)))
	}
	if len(remarks) == 0 {
		return ""
	}
	return subject + ": " + strings.Join(remarks, "; ")
}

package layout

import (
	"bytes"
	"compress/gzip"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// bomb is a small file that unpacks to a document of a gigabyte: a beginning, and
// then the same again and again. Each mebibyte is a member of its own.
func bomb(t *testing.T, begin, repeat string) []byte {
	t.Helper()
	const size, block = 1 << 30, 1 << 20
	part := compress(t, []byte(strings.Repeat(repeat, block/len(repeat))))
	return append(compress(t, []byte(begin)), bytes.Repeat(part, size/block)...)
}

// The memory of one hostile file stays below that of the server's limit of 1 GiB
// with four restores at a time, and is garbage afterwards. What is measured is all
// that is allocated, which is about three times what is needed at once.
func TestHostileDocumentsAreRefusedInBoundedMemory(t *testing.T) {
	const most = 3 * 192 << 20
	for name, tc := range map[string]struct {
		begin, repeat string
		into          any
	}{
		"a gigabyte in one field of a volume": {`[{"spec":{"volume":"`, "x", &[]velerov1.PodVolumeBackup{}},
		"a gigabyte in one message":           {`{"errors":{"velero":["`, "x", &Results{}},
		"empty volumes":                       {"[", "{},", &[]velerov1.PodVolumeBackup{}},
		"managed fields without an end":       {`[{"metadata":{"managedFields":[`, "{},", &[]velerov1.PodVolumeBackup{}},
		"empty volume information":            {"[", "{},", &VolumeInfoList{}},
		"empty names in the resource list":    {`{"v1/Pod":[`, `"",`, &ResourceList{}},
		"spaces":                              {"[", " ", &BackupItemOperationList{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			file := bomb(t, tc.begin, tc.repeat)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			err := DecodeJSONGzip(bytes.NewReader(file), tc.into)

			runtime.ReadMemStats(&after)
			g.Expect(err).To(MatchError(ErrTooLarge))
			g.Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<=", most), "allocated in all")
		})
	}
}

// A file of empty gzip members unpacks to nothing, however long it is.
func TestEmptyMembersEnd(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var member bytes.Buffer
	g.Expect(gzip.NewWriter(&member).Close()).To(Succeed())
	endless := &members{member: member.Bytes()}

	err := DecodeJSONGzip(endless, &Results{})

	g.Expect(err).To(MatchError(ErrCorrupt))
	g.Expect(endless.taken).To(BeNumerically("<=", MaxJSONBytes+MaxJSONBytes/32))
}

// members is an endless reader of gzip members. It counts what is taken.
type members struct {
	member []byte
	at     int
	taken  int64
}

func (m *members) Read(p []byte) (int, error) {
	n := copy(p, m.member[m.at:])
	m.at = (m.at + n) % len(m.member)
	m.taken += int64(n)
	return n, nil
}

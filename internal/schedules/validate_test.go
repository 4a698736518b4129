package schedules

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestValidateNamesFieldAndValue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mod  func(*velerov1.Schedule)
		want []string // parts of one problem each
	}{
		"a good one":        {func(*velerov1.Schedule) {}, nil},
		"no expression":     {func(s *velerov1.Schedule) { s.Spec.Schedule = "" }, []string{`spec.schedule: Invalid value: ""`}},
		"a bad expression":  {func(s *velerov1.Schedule) { s.Spec.Schedule = "at noon" }, []string{`spec.schedule: Invalid value: "at noon"`}},
		"a long name":       {func(s *velerov1.Schedule) { s.Name = strings.Repeat("n", 239) }, []string{"must have at most 238 bytes"}},
		"a name that fits":  {func(s *velerov1.Schedule) { s.Name = strings.Repeat("n", 238) }, nil},
		"a bad label":       {func(s *velerov1.Schedule) { s.Spec.Template.Metadata.Labels = map[string]string{"a": "b c"} }, []string{`spec.template.metadata.labels: Invalid value: "b c"`}},
		"a negative ttl":    {func(s *velerov1.Schedule) { s.Spec.Template.TTL.Duration = -1 }, []string{"spec.template.ttl"}},
		"two at once":       {func(s *velerov1.Schedule) { s.Spec.Schedule, s.Spec.Template.TTL.Duration = "x", -1 }, []string{"spec.schedule", "spec.template.ttl"}},
		"an impossible day": {func(s *velerov1.Schedule) { s.Spec.Schedule = "0 0 30 2 *" }, []string{"no time ever matches it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := &velerov1.Schedule{Spec: velerov1.ScheduleSpec{Schedule: "0 3 * * *"}}
			s.Name = "nightly"
			tc.mod(s)

			_, got := Validate(s)

			g.Expect(got).To(HaveLen(len(tc.want)))
			for i := range tc.want {
				g.Expect(got[i]).To(ContainSubstring(tc.want[i]))
			}
		})
	}
}

package repositoryconfig

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data    map[string]string
		want    map[string]string
		wantErr string
	}{
		"no key of kopia":           {map[string]string{"restic": "{}"}, nil, ""},
		"numbers and texts":         {map[string]string{"kopia": `{"cacheLimitMB": 2048, "fullMaintenanceInterval": "fastGC"}`}, map[string]string{"cacheLimitMB": "2048", "fullMaintenanceInterval": "fastGC"}, ""},
		"a large number stays one":  {map[string]string{"kopia": `{"cacheLimitMB": 20480000}`}, map[string]string{"cacheLimitMB": "20480000"}, ""},
		"unknown keys are kept":     {map[string]string{"kopia": `{"other": true}`}, map[string]string{"other": "true"}, ""},
		"no JSON":                   {map[string]string{"kopia": `cacheLimitMB: 1`}, nil, "data[kopia]"},
		"a list is no value":        {map[string]string{"kopia": `{"cacheLimitMB": [1]}`}, nil, "cacheLimitMB: Invalid value: [1]"},
		"nothing is said about one": {map[string]string{"kopia": `{"cacheLimitMB": null}`}, nil, "cacheLimitMB: Invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			got, err := Parse(tc.data)
			if tc.wantErr != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tc.wantErr)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data        map[string]string
		wantInvalid string // beginning of the only one; "" means none
		wantIgnored string
	}{
		"Velero's example":     {data: map[string]string{"kopia": `{"cacheLimitMB": 2048, "fullMaintenanceInterval": "fastGC"}`}},
		"nothing at all":       {},
		"another repository":   {data: map[string]string{"restic": `{}`}, wantIgnored: "data[restic]: unknown key"},
		"an unknown key":       {data: map[string]string{"kopia": `{"cache": 1}`}, wantIgnored: "data[kopia]: cache: unknown key"},
		"no JSON":              {data: map[string]string{"kopia": `cacheLimitMB: 1`}, wantInvalid: "data[kopia]: "},
		"a limit in words":     {data: map[string]string{"kopia": `{"cacheLimitMB": "2Gi"}`}, wantInvalid: `data[kopia][cacheLimitMB]: Invalid value: "2Gi"`},
		"an unknown frequency": {data: map[string]string{"kopia": `{"fullMaintenanceInterval": "often"}`}, wantInvalid: `data[kopia][fullMaintenanceInterval]: Unsupported value: "often"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Check(tc.data)

			for _, list := range []struct {
				got  []string
				want string
			}{{got.Invalid, tc.wantInvalid}, {got.Ignored, tc.wantIgnored}} {
				if list.want == "" {
					g.Expect(list.got).To(BeEmpty())
				} else {
					g.Expect(list.got).To(HaveExactElements(HavePrefix(list.want)))
				}
			}
		})
	}
}

// FuzzConfigMaps reads any text as either ConfigMap: no panic, and what Check finds
// fit for use is fit for use.
func FuzzConfigMaps(f *testing.F) {
	for _, seed := range []string{
		`{"cacheLimitMB": 2048, "fullMaintenanceInterval": "fastGC"}`, `{"keepLatestMaintenanceJobs":0}`, `{"podResources":{"cpuLimit":"1"}}`,
		`{"loadAffinity":[{"nodeSelector":{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}}]}`, `null`, `[]`, ``, `{"cacheLimitMB":1e400}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g := NewWithT(t)
		data := map[string]string{"kopia": text, "global": text}

		if len(Check(data).Invalid) == 0 {
			config, err := Parse(data)
			g.Expect(err).NotTo(HaveOccurred())
			_, err = Tune(config, "x")
			g.Expect(err).NotTo(HaveOccurred())
		}
		settings, _ := ParseMaintenance(data, "global")
		g.Expect(settings.KeepJobs).To(BeNumerically(">=", 1))
		CheckMaintenance(data)
	})
}

package serving

import "github.com/prometheus/client_golang/prometheus"

// expiry is of each replica: an alert on the earliest one finds a replica that did
// not take a renewed certificate, too.
var expiry = prometheus.NewDesc("podkeep_webhook_certificate_expiry_timestamp_seconds",
	"When the certificate that this replica serves ends, in seconds since 1970; none while there is no certificate.",
	[]string{"issuer"}, nil)

// Describe implements prometheus.Collector.
func (*Certificates) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- expiry }

// Collect implements prometheus.Collector.
func (c *Certificates) Collect(metrics chan<- prometheus.Metric) {
	pair := c.serving.Load()
	if pair == nil {
		return
	}
	issuer := c.Issuer
	if issuer == "" {
		issuer = SelfSigned
	}
	metrics <- prometheus.MustNewConstMetric(expiry, prometheus.GaugeValue, float64(pair.Leaf.NotAfter.Unix()), string(issuer))
}
